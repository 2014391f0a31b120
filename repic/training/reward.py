"""The trained reward of a run: totals of `repic.rewards`, with their components logged.

`TrainedReward` scores in this process, `RemoteReward` by reward workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from repic.config import TrainSettings
from repic.errors import ConfigError
from repic.images.coordinates import Convention
from repic.objectives.base import Mode, Reward, Row
from repic.rewards.adapters.chat import text_of
from repic.rewards.scoring import score
from repic.rewards.server.client import RetryPolicy, RewardClient, score_now
from repic.rewards.wrappers import Wrapper
from repic.training.ablation_rewards import Ablation, totals

log = logging.getLogger(__name__)

RECORDS = "rollout"
"""Column of TRL's logs that carries one record per completion."""

Gather = Callable[[list[Any]], list[Any]]
"""Joins the lists of all processes, in order of rank."""


AT_START = RetryPolicy(seconds=10.0, total=15.0, tries=2)
"""Patience with reward workers before a run."""


class GroupError(RuntimeError):
    """A group of completions mixes examples: the trainer's sampler broke our assumption."""


class TrainedReward:
    """Scores this process's completions, and checks that the groups of all processes are whole.

    TRL gets a single reward column: with several, it counts None as 0 in a row where another
    column has a value. No content of a completion or a row makes a call raise: an answer that
    cannot be scored gets None, which TRL leaves out of the group's baseline, and is counted in a
    metric.

    Attributes:
        generations: Completions per group.
        ends: Tokens that end an answer; an answer that does not end in one of them was truncated.
        ablation: Totals that are trained on; by default the real ones.
    """

    __name__ = "repic"
    ablation: Ablation = staticmethod(totals)

    def __init__(
        self,
        convention: Convention,
        mode: Mode,
        generations: int,
        ends: frozenset[int],
        gather: Gather,
        strip: Collection[Wrapper] = (),
    ) -> None:
        self.convention = convention
        self.mode = mode
        self.generations = generations
        self.ends = ends
        self.gather = gather
        self.strip = strip

    def __call__(
        self,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        row: Sequence[Row],
        unreadable: Sequence[str | None],
        log_extra: Callable[[str, list[Any]], None],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        """One total per completion, 0 to 1, or None.

        Raises:
            GroupError: completions of a group belong to different examples.
        """
        check_groups(self.gather([r["example_id"] for r in row]), self.generations)
        texts = [text_of(completion) for completion in completions]
        readable = [index for index, reason in enumerate(unreadable) if not reason]
        scores = self.scores([texts[i] for i in readable], [row[i] for i in readable])
        rewards: list[Reward | None] = [None] * len(row)
        for index, reward in zip(readable, scores, strict=True):
            rewards[index] = reward
        trained_totals = self.ablation(row, rewards)
        log_extra(
            RECORDS,
            [
                {
                    "example_id": r["example_id"],
                    "objective": r["objective"],
                    "kind": r["kind"],
                    "completion": text,
                    "reward": total,
                    "components": dict(reward.components) if reward else {},
                    "reason": reward.reason if reward else "unreadable" if lost else "error",
                    "length": len(ids),
                    "truncated": not ids or ids[-1] not in self.ends,
                }
                for r, text, reward, total, ids, lost in zip(
                    row, texts, rewards, trained_totals, completion_ids, unreadable, strict=True
                )
            ],
        )
        for r, reward, total in zip(row, rewards, trained_totals, strict=True):
            log_metric("unscored", float(total is None))
            if reward is not None:
                log_metric(f"rewards/{r['objective']}", reward.total)
                for part, value in reward.components.items():
                    log_metric(f"components/{r['objective']}/{part}", value)
        return trained_totals

    def scores(self, texts: Sequence[str], rows: Sequence[Row]) -> list[Reward | None]:
        """Rewards of answers to rows whose pictures could be read; None for a failed scoring."""
        return [self._score(text, row) for text, row in zip(texts, rows, strict=True)]

    def _score(self, text: str, row: Row) -> Reward | None:
        try:
            return score(text, row, self.mode, self.convention, strip=self.strip)
        except Exception:  # one failed answer must not end a long run
            log.exception("an answer to example %s could not be scored", row.get("example_id"))
            return None


class RemoteReward(TrainedReward):
    """The same reward, scored by reward workers.

    Attributes:
        client: Never raises; its tally counts failures by reason.
    """

    def __init__(self, urls: Sequence[str], *args: Any, policy: RetryPolicy | None = None) -> None:
        super().__init__(*args)
        self.client = RewardClient(
            urls, self.mode, self.convention, policy=policy, strip=self.strip
        )

    def scores(self, texts: Sequence[str], rows: Sequence[Row]) -> list[Reward | None]:
        return score_now(self.client, texts, rows)


def check_workers(train: TrainSettings, convention: Convention, rows: Sequence[Row]) -> None:
    """Check that a configured reward worker scores true answers; one that ends later is no error.

    Raises:
        ConfigError: none does.
    """
    if not train.reward_urls:
        return
    client = RewardClient(train.reward_urls, train.mode, convention, policy=AT_START)
    if any(score_now(client, [row["answer"] or "" for row in rows], rows)):
        return
    causes = ", ".join(client.counts.reasons) or "no reply in time"
    raise ConfigError(
        f"no reward worker answers at {', '.join(train.reward_urls)} ({causes}): start one with "
        "`repic reward serve`, or leave out --reward-url (train.reward_urls)"
    )


def check_groups(ids: Sequence[str], generations: int) -> None:
    """Check that the example ids of all processes, in order, form groups of one example each.

    Raises:
        GroupError: they do not.
    """
    groups = [ids[start : start + generations] for start in range(0, len(ids), generations)]
    mixed = [group for group in groups if len(set(group)) != 1 or len(group) != generations]
    if mixed:
        raise GroupError(
            f"{len(mixed)} of {len(groups)} groups mix examples, such as "
            f"{sorted(set(mixed[0]))[:3]}: advantages would compare answers to different "
            "questions. Do not shuffle the data per process, and set trainer.num_generations to "
            "the number of repeats of the sampler."
        )
