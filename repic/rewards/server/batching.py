"""Batches answers of several requests for a component, since a GPU is efficient on large batches.

A batch never waits to fill: while one is scored, the next one collects. A single request is
answered at once, and under load the batches grow.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from repic.objectives.base import Reward
from repic.rewards.components import Component, RewardedAnswer, lowered

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Maximum answers per batch."""

_Waiting = tuple[RewardedAnswer, "asyncio.Future[float | None]"]


class BatchedComponent:
    """One component behind a queue; an answer that it cannot score keeps its reward."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=component.name)

    async def rewards(self, answers: Sequence[RewardedAnswer]) -> list[Reward]:
        """Rewards of the answers of one request."""
        loop = asyncio.get_running_loop()
        futures = {
            index: loop.create_future()
            for index, answer in enumerate(answers)
            if self.component.applies(answer)
        }
        self._waiting += [(answers[index], future) for index, future in futures.items()]
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = loop.create_task(self._work())
        return [
            lowered(answer.reward, self.component, await futures[index])
            if index in futures
            else answer.reward
            for index, answer in enumerate(answers)
        ]

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            count = min(MAX_BATCH, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            scores: Sequence[float | None]
            try:
                scores = await loop.run_in_executor(
                    self._thread, self.component.scores, [answer for answer, _ in batch]
                )
                if len(scores) != count:  # its requests would wait for ever
                    raise ValueError(f"{len(scores)} scores")
            except Exception:  # a failing model only loses its own scores
                log.exception("%s failed for %d answers", self.component.name, count)
                scores = [None] * count
            for (_, future), score in zip(batch, scores, strict=True):
                if not future.done():  # the client may have disconnected
                    future.set_result(score)
