"""Answers of several requests, scored together: a model on a GPU wants many at once.

Nobody waits for a batch to fill. While one is being scored the next one gathers, so a lone request
is answered at once, and under load batches grow by themselves.
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

MOST = 256
"""Answers of one batch."""

_Waiting = tuple[RewardedAnswer, "asyncio.Future[float | None]"]


class BatchedComponent:
    """One component behind a queue; what it cannot score keeps its reward.

    Attributes:
        sizes: Answers of the last batches, the newest last.
    """

    def __init__(self, component: Component, most: int = MOST) -> None:
        self.component, self.most = component, most
        self.sizes: deque[int] = deque(maxlen=100)
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=component.name)

    async def refined(self, answers: Sequence[RewardedAnswer]) -> list[Reward]:
        """Rewards of the answers of one request."""
        loop = asyncio.get_running_loop()
        asked = {
            place: loop.create_future()
            for place, answer in enumerate(answers)
            if self.component.applies(answer)
        }
        self._waiting += [(answers[place], future) for place, future in asked.items()]
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = loop.create_task(self._work())
        return [
            lowered(answer.reward, self.component, await asked[place])
            if place in asked
            else answer.reward
            for place, answer in enumerate(answers)
        ]

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            count = min(self.most, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            self.sizes.append(count)
            scores: Sequence[float | None]
            try:
                scores = await loop.run_in_executor(
                    self._thread, self.component.scores, [answer for answer, _ in batch]
                )
            except Exception:  # a model that fails costs its own part of some rewards
                log.exception("%s failed for %d answers", self.component.name, count)
                scores = [None] * count
            for (_, future), score in zip(batch, scores, strict=True):
                if not future.done():  # whoever asked may have gone
                    future.set_result(score)
