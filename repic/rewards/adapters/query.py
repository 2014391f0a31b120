"""Queries reward workers with the standard library only.

It reads its settings from the environment:

- `REPIC_REWARD_URL`: an address such as `http://127.0.0.1:8899`, or several separated by commas;
- `REPIC_REWARD_TOKEN`: the secret of the worker, if it has one;
- `REPIC_REWARD_MODE`: `strict` (default) or `paper`;
- `REPIC_REWARD_CONVENTION`: how the model writes boxes: a name such as `qwen3-vl` (default), or
  the JSON of a `repic.rewards.server.protocol.ConventionMessage`.
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
"""Reward of an answer whose group has no score."""
ROWS = 64
"""Maximum rows per request."""

SECONDS = 20.0
"""Timeout of one request."""

TRIES = 4
MAX_REPLY = 4 << 20
"""Maximum bytes of a reply."""

log = logging.getLogger(__name__)


class WorkerError(RuntimeError):
    """A required setting is missing; the message names it."""


def request_rewards(completions: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    """Rewards of answers, 0 to 1, in order; None for an answer that could not be scored.

    Args:
        labels: The row of each answer, as the JSON text that `repic reward rows` writes.

    Raises:
        WorkerError: no worker is configured.
    """
    rewards: list[float | None] = []
    for start in range(0, len(completions), ROWS):
        part = slice(start, start + ROWS)
        rewards += _request_batch(completions[part], labels[part])
    return rewards


def fill_unscored(rewards: Sequence[float | None], groups: Sequence[str]) -> list[float]:
    """Replace each None by the mean of its group, or by `NEUTRAL`, for trainers without None.

    An unscored answer then has no advantage; 0 would punish it.

    Args:
        groups: A key that the answers of one prompt share, such as their label.
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


def _request_batch(completions: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    rows: list[Any] = []
    for label in labels:
        try:
            row = json.loads(label)
        except (TypeError, ValueError):
            row = None
        rows.append(row if isinstance(row, dict) else None)
    valid = [index for index, row in enumerate(rows) if row is not None]
    rewards: list[float | None] = [None] * len(rows)
    if not valid:
        return rewards
    body = {
        "mode": os.environ.get("REPIC_REWARD_MODE", "strict"),
        "convention": _convention(),
        "rows": [{"completion": completions[k], "row": rows[k]} for k in valid],
    }
    for index, reward in zip(valid, _scores(body, len(valid)), strict=True):
        rewards[index] = reward
    return rewards


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
        text = bytearray()
        while part := reply.read1(1 << 16):
            text += part
            if len(text) > MAX_REPLY or time.monotonic() > until:
                raise ValueError("the reply is too long or too slow")
    rewards = [entry["reward"] for entry in json.loads(text)["scores"]]
    if len(rewards) != count or not all(r is None or 0 <= r <= 1 for r in rewards):
        raise ValueError("the reply does not have one score from 0 to 1 per row")
    return rewards


def _convention() -> dict[str, Any]:
    text = os.environ.get("REPIC_REWARD_CONVENTION", "qwen3-vl")
    if not text.lstrip().startswith("{"):
        return {"name": text}
    convention: dict[str, Any] = json.loads(text)
    return convention
