"""Asks a reward worker, with nothing but the standard library.

Where it is and what it should know comes from the environment:

- `REPIC_REWARD_URL`: such as `http://127.0.0.1:8899`, or several with commas between them;
- `REPIC_REWARD_TOKEN`: the secret of the worker, if it has one;
- `REPIC_REWARD_MODE`: `strict` (default) or `paper`;
- `REPIC_REWARD_CONVENTION`: how the model writes boxes: a name such as `qwen3-vl` (default), or the
  JSON that `repic.rewards.server.protocol.ConventionMessage` is.
"""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

NEUTRAL = 0.5
"""Of a group without any score."""
ROWS = 64
"""Of one request."""
SECONDS = 20.0
TRIES = 4
MOST = 4 << 20
"""Bytes of a reply."""

log = logging.getLogger(__name__)


class WorkerError(RuntimeError):
    """A setting without which no worker can be asked; the message names it."""


def ask(completions: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    """Rewards of answers, 0 to 1, in order; None for what could not be scored. Never hangs.

    Args:
        labels: Of each answer its row, as the JSON text that `repic reward rows` writes.

    Raises:
        WorkerError: no worker is named.
    """
    found: list[float | None] = []
    for start in range(0, len(completions), ROWS):
        part = slice(start, start + ROWS)
        found += _batch(completions[part], labels[part])
    return found


def neutral(rewards: Sequence[float | None], groups: Sequence[str]) -> list[float]:
    """The same for trainers that know no None: the mean of the rest of its group, or `NEUTRAL`.

    With that an unscored answer has no advantage; 0 would be a verdict.

    Args:
        groups: What the answers of one prompt have in common, such as their label.
    """
    scored: dict[str, list[float]] = {}
    for reward, group in zip(rewards, groups, strict=True):
        if reward is not None:
            scored.setdefault(group, []).append(reward)
    means = {group: sum(values) / len(values) for group, values in scored.items()}
    return [
        means.get(group, NEUTRAL) if reward is None else reward
        for reward, group in zip(rewards, groups, strict=True)
    ]


def _batch(completions: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    rows: list[Any] = []
    for label in labels:
        try:
            row = json.loads(label)
        except (TypeError, ValueError):
            row = None
        rows.append(row if isinstance(row, dict) else None)
    known = [place for place, row in enumerate(rows) if row is not None]
    found: list[float | None] = [None] * len(rows)
    if not known:
        return found
    body = {
        "mode": os.environ.get("REPIC_REWARD_MODE", "strict"),
        "convention": _convention(),
        "rows": [{"completion": completions[k], "row": rows[k]} for k in known],
    }
    for place, reward in zip(known, _scores(body, len(known)), strict=True):
        found[place] = reward
    return found


def _scores(body: dict[str, Any], count: int) -> list[float | None]:
    urls = [url.strip().rstrip("/") for url in os.environ.get("REPIC_REWARD_URL", "").split(",")]
    if not any(urls):
        raise WorkerError(
            "set REPIC_REWARD_URL to the address of a reward worker, such as "
            "http://127.0.0.1:8899; `repic reward serve` starts one"
        )
    for attempt in range(TRIES):
        try:
            return _post(urls[attempt % len(urls)], body, count)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("reward worker: %s", error)
            is_final = isinstance(error, urllib.error.HTTPError) and (
                error.code < 500 and error.code != 429
            )
            if is_final or attempt + 1 == TRIES:
                break
            time.sleep(0.2 * 2**attempt)
    return [None] * count


def _post(url: str, body: dict[str, Any], count: int) -> list[float | None]:
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("REPIC_REWARD_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/v1/score", json.dumps(body).encode(), headers)
    until = time.monotonic() + SECONDS
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:
        found = bytearray()
        while piece := reply.read1(1 << 16):
            found += piece
            if len(found) > MOST or time.monotonic() > until:
                raise ValueError("the reply has no end")
    rewards = [entry["reward"] for entry in json.loads(found)["scores"]]
    if len(rewards) != count or not all(r is None or 0 <= r <= 1 for r in rewards):
        raise ValueError("the reply has other scores than were asked for")
    return rewards


def _convention() -> dict[str, Any]:
    text = os.environ.get("REPIC_REWARD_CONVENTION", "qwen3-vl")
    if not text.lstrip().startswith("{"):
        return {"name": text}
    made: dict[str, Any] = json.loads(text)
    return made
