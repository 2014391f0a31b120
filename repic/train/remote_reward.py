"""The reward of a run, scored by reward workers instead of in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repic.objectives.base import Reward, Row
from repic.rewards.server.client import RetryPolicy, RewardClient, score_now
from repic.train.reward import TrainedReward


class ServedReward(TrainedReward):
    """As `TrainedReward`, by workers: groups are checked and answers are kept in the same way.

    Attributes:
        client: Never raises; its tally says what failed and why.
    """

    def __init__(self, urls: Sequence[str], *args: Any, policy: RetryPolicy | None = None) -> None:
        super().__init__(*args)
        self.client = RewardClient(urls, self.mode, self.convention, policy=policy)

    def scores(self, texts: Sequence[str], rows: Sequence[Row]) -> list[Reward | None]:
        return score_now(self.client, texts, rows)
