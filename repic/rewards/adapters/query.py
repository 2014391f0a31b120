"""Queries reward workers with the standard library only.

It reads its settings from the environment:

- `REPIC_REWARD_URL`: an address such as `http://127.0.0.1:8899`, or several separated by commas;
- `REPIC_REWARD_TOKEN`: the secret of the worker, if it has one;
- `REPIC_REWARD_MODE`: `strict` (default) or `paper`;
- `REPIC_REWARD_CONVENTION`: how the model writes boxes: a name such as `qwen3-vl` (default), or
  the JSON of a `repic.rewards.server.protocol.ConventionMessage`;
- `REPIC_REWARD_STRIP`: wrappers that are no part of an answer, such as `think,answer`.
"""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.plain_http import FAILURES, post

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
    """A setting is missing or invalid; the message names it."""


def request_rewards(completions: Sequence[str], labels: Sequence[str]) -> list[float | None]:
    """Rewards of answers, 0 to 1, in order; None for an answer that could not be scored.

    Args:
        labels: The row of each answer, as the JSON text that `repic export` writes.

    Raises:
        WorkerError: no worker is configured, or a setting is invalid.
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
        except (TypeError, ValueError, RecursionError):
            row = None
        rows.append(row if isinstance(row, dict) else None)
    valid = [index for index, row in enumerate(rows) if row is not None]
    rewards: list[float | None] = [None] * len(rows)
    if not valid:
        return rewards
    body = {
        "mode": os.environ.get("REPIC_REWARD_MODE", "strict"),
        "convention": _convention(),
    }
    if strip := os.environ.get("REPIC_REWARD_STRIP"):
        body["strip"] = [name.strip() for name in strip.split(",")]
    messages = [{"completion": completions[k], "row": rows[k]} for k in valid]
    for index, reward in zip(valid, _scores(body, messages), strict=True):
        rewards[index] = reward
    return rewards


def _scores(body: dict[str, Any], rows: list[Any]) -> list[float | None]:
    try:
        return _answered(_urls(), body, rows)
    except _RefusedError as refused:
        if not refused.is_about_rows or len(rows) == 1:
            return [None] * len(rows)
    # One row that a worker refuses costs the others nothing.
    middle = len(rows) // 2
    return _scores(body, rows[:middle]) + _scores(body, rows[middle:])


def _urls() -> list[str]:
    urls = [url.strip().rstrip("/") for url in os.environ.get("REPIC_REWARD_URL", "").split(",")]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise WorkerError(
            "set REPIC_REWARD_URL to the address of a reward worker, such as "
            "http://127.0.0.1:8899; `repic reward serve` starts one"
        )
    return urls


def _answered(urls: list[str], body: dict[str, Any], rows: list[Any]) -> list[float | None]:
    """Scores of a worker, or None for each row if none answers as it should."""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(0.1 * 2**attempt)
        try:
            text = post(
                f"{urls[attempt % len(urls)]}/v1/score",
                json.dumps({**body, "rows": rows}).encode(),
                os.environ.get("REPIC_REWARD_TOKEN"),
                SECONDS,
                MAX_REPLY,
            )
            return _rewards(text, len(rows))
        except urllib.error.HTTPError as error:
            error.close()
            log.warning("reward worker: status %d", error.code)
            if error.code < 500 and error.code != 429:
                raise _RefusedError(error.code) from None
        except FAILURES as error:
            log.warning("reward worker: %.200r", error)
    return [None] * len(rows)


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.is_about_rows = status in (413, 422)


def _rewards(text: bytes, count: int) -> list[float | None]:
    rewards = [entry["reward"] for entry in json.loads(text)["scores"]]
    if len(rewards) != count or not all(map(_is_reward, rewards)):
        raise ValueError("the reply does not have one score from 0 to 1 per row")
    return rewards


def _is_reward(value: Any) -> bool:
    # `type`, because True is an int.
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)


def _convention() -> dict[str, Any]:
    text = os.environ.get("REPIC_REWARD_CONVENTION", "qwen3-vl")
    if text == "qwen2.5-vl":
        raise WorkerError(
            "REPIC_REWARD_CONVENTION=qwen2.5-vl lacks the limits of its processor: copy the line "
            "that `repic export --model` prints, with min_pixels and max_pixels"
        )
    if not text.lstrip().startswith("{"):
        return {"name": text}
    try:
        convention: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise WorkerError(
            "REPIC_REWARD_CONVENTION is not JSON: copy the line that `repic export` prints"
        ) from None
    return convention
