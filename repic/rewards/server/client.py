"""A client of reward workers that always ends in bounded time and never raises.

A failed request is repeated at another worker: after a timeout, a connection error or a 5xx with
exponential backoff, after a 429 when Retry-After says. Any other status is final. A URL that fails
several times in a row is skipped for a while. Rows without a reply are None.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from httpx import AsyncClient
from pydantic import ValidationError

from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives.base import Mode, Reward, Row
from repic.rewards.server.protocol import (
    TOKEN,
    Completion,
    ConventionMessage,
    ScoreResponse,
    reward_of,
    row_message,
)
from repic.rewards.wrappers import Wrapper
from repic.web import replies
from repic.web.replies import ReplyError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of requests and their repetition.

    Attributes:
        seconds: Timeout of one request, from its first byte to the last byte of the reply.
        total: Timeout of all requests of one call, in seconds.
        tries: Attempts per request.
        pause: Seconds before the second attempt, doubled before each further one, and multiplied by
            a random number from 0.5 to 1.
        failures: Failures in a row after which a URL is skipped.
        rest: Seconds that it is skipped.
        rows: Maximum rows per request.
        reply: Maximum bytes of a reply.
    """

    seconds: float = 20.0
    total: float = 60.0
    tries: int = 4
    pause: float = 0.2
    failures: int = 3
    rest: float = 15.0
    rows: int = 64
    reply: int = 4 << 20


@dataclass
class _CircuitBreaker:
    """Whether a URL is used; after `failures` in a row it is skipped for `rest` seconds."""

    policy: RetryPolicy
    failures: int = 0
    until: float = 0.0

    @property
    def is_usable(self) -> bool:
        return time.monotonic() >= self.until

    def record(self, good: bool) -> None:
        """Record the result of a request."""
        self.failures = 0 if good else self.failures + 1
        if self.failures >= self.policy.failures:
            self.until = time.monotonic() + self.policy.rest
            self.failures = self.policy.failures - 1  # the next request after the rest decides


@dataclass
class RequestCounts:
    """Counts of rows and requests, and of the reasons of failures."""

    rows: int = 0
    unscored: int = 0
    retries: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def failed(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


class _FailedError(Exception):
    """A failed attempt; `again`: another one may succeed, after `wait` seconds if given.

    `reason` is one of few, since reasons are counted; `said` is what the worker said.
    """

    def __init__(self, reason: str, again: bool, wait: float | None = None, said: str = "") -> None:
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason, self.again, self.wait = reason, again, wait


class RewardClient:
    """Scores answers at one or several workers, which serve the same rewards."""

    def __init__(
        self,
        urls: Sequence[str],
        mode: Mode = "strict",
        convention: Convention = QWEN3_VL,
        token: str | None = None,
        policy: RetryPolicy | None = None,
        strip: Collection[Wrapper] = (),
    ) -> None:
        """
        Args:
            urls: Addresses such as `http://127.0.0.1:8899`, used in turn.
            token: Default: the environment variable REPIC_REWARD_TOKEN.
            strip: Wrappers that are no part of an answer; see `repic.rewards.wrappers`.
        """
        if not urls:
            raise ValueError("a client of reward workers needs a URL")
        self.policy = policy or RetryPolicy()
        self.counts = RequestCounts()
        self._request_options = {
            "mode": mode,
            "convention": ConventionMessage.of(convention).model_dump(exclude_none=True),
            **({"strip": list(strip)} if strip else {}),
        }
        self._breakers = {url.rstrip("/"): _CircuitBreaker(self.policy) for url in urls}
        self._turn = itertools.count()
        self._token = token or os.environ.get(TOKEN)

    async def score(self, completions: Sequence[str], rows: Sequence[Row]) -> list[Reward | None]:
        """Rewards in order; None for a row that could not be scored."""
        size = self.policy.rows
        batches = [slice(at, at + size) for at in range(0, len(rows), size)]
        # One connection pool per call: a trainer may call from a new event loop each time.
        async with replies.client() as http:
            tasks = [
                asyncio.create_task(self._batch(http, completions[part], rows[part]))
                for part in batches
            ]
            if tasks:
                await asyncio.wait(tasks, timeout=self.policy.total)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        rewards: list[Reward | None] = []
        for part, task in zip(batches, tasks, strict=True):
            result = None if task.cancelled() or task.exception() else task.result()
            rewards += result if result is not None else [None] * len(rows[part])
        self.counts.rows += len(rewards)
        self.counts.unscored += sum(reward is None for reward in rewards)
        return rewards

    async def _batch(
        self, http: AsyncClient, completions: Sequence[str], rows: Sequence[Row]
    ) -> list[Reward | None] | None:
        messages = [self._message(*pair) for pair in zip(completions, rows, strict=True)]
        valid = [message for message in messages if message is not None]
        scores = await self._valid_batch(http, valid) if valid else None
        if scores is None:
            return None
        in_order = iter(scores)
        return [None if message is None else next(in_order) for message in messages]

    def _message(self, completion: str, row: Row) -> dict[str, Any] | None:
        """An answer with its row; None if a worker would refuse the request because of it."""
        try:
            message = {"completion": completion, "row": row_message(row)}
            Completion.model_validate(message)
            json.dumps(message, ensure_ascii=False).encode()  # half of a pair has no encoding
        except (ValueError, LookupError, TypeError, AttributeError):
            self.counts.failed("an invalid row")
            return None
        return message

    async def _valid_batch(
        self, http: AsyncClient, messages: list[dict[str, Any]]
    ) -> list[Reward | None] | None:
        body = {**self._request_options, "rows": messages}
        for attempt in range(self.policy.tries):
            url = self._next_url()
            if url is None:
                self.counts.failed("all workers are skipped")
                return None
            try:
                scores = await self._request(http, url, body, len(messages))
            except _FailedError as failed:
                self._breakers[url].record(good=not failed.again or failed.wait is not None)
                self.counts.failed(failed.reason)
                log.warning("reward worker %s: %s", url, failed)
                if not failed.again:
                    return None
                self.counts.retries += 1
                pause = self.policy.pause * 2**attempt
                await asyncio.sleep(failed.wait or pause * random.uniform(0.5, 1))
            else:
                self._breakers[url].record(good=True)
                return scores
        return None

    def _next_url(self) -> str | None:
        urls = list(self._breakers)
        start = next(self._turn)
        turns = (urls[(start + step) % len(urls)] for step in range(len(urls)))
        return next((url for url in turns if self._breakers[url].is_usable), None)

    async def _request(
        self, http: AsyncClient, url: str, body: dict[str, Any], count: int
    ) -> list[Reward | None]:
        try:
            reply = await replies.post(
                http,
                f"{url}/v1/score",
                json.dumps(body).encode(),
                self._token,
                self.policy.seconds,
                self.policy.reply,
            )
        except ReplyError as error:
            raise _FailedError(error.kind, again=True) from None
        status = reply.status
        if status == 429:
            wait = replies.retry_after(reply.headers) or 1.0
            raise _FailedError("busy", again=True, wait=wait)
        if status >= 500:
            raise _FailedError(f"status {status}", again=True)
        if status != 200:
            said = replies.one_line(reply.body[:800].decode("utf-8", "replace"))
            raise _FailedError(f"status {status}", again=False, said=said)
        try:
            # Strict: true and "1" are no numbers.
            scores = ScoreResponse.model_validate_json(reply.body, strict=True).scores
        except ValidationError:
            raise _FailedError("no scores in the reply", again=True) from None
        if len(scores) != count:
            raise _FailedError("the reply scores another number of rows", again=True)
        if any(s.reward is not None and not 0 <= s.reward <= 1 for s in scores):
            raise _FailedError("a score outside of 0 to 1", again=True)
        return [reward_of(score) for score in scores]


def score_now(
    client: RewardClient, completions: Sequence[str], rows: Sequence[Row]
) -> list[Reward | None]:
    """`client.score` for synchronous callers, with or without a running event loop."""
    return replies.run_now(client.score(completions, rows))
