"""The one trained reward of a run: totals of `repic.rewards`, its parts logged beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from repic.images.coordinates import Convention
from repic.objectives.base import Mode, Reward, Row
from repic.rewards.scoring import score
from repic.train.ablation_rewards import Deal, totals

log = logging.getLogger(__name__)

EXTRA = "rollout"
"""Column of TRL's logs that carries one record per completion."""

Gather = Callable[[list[Any]], list[Any]]


class GroupError(RuntimeError):
    """A group of completions mixes examples: the trainer's sampler is not what we think it is."""


class TrainedReward:
    """Scores a local slice of completions, and checks that groups of all ranks are whole.

    Only one column is trained: in a row where another reward function has a value, TRL takes None
    for 0. Nothing that a completion or a row may hold makes a call raise; what cannot be scored is
    None, which TRL leaves out of the group's baseline, and is counted in a metric.

    Attributes:
        generations: Completions per group.
        ends: Tokens that end an answer; one that ends in none of them was cut.
        deal: What is trained on in place of the rewards; by default they themselves.
    """

    __name__ = "repic"
    deal: Deal = staticmethod(totals)

    def __init__(
        self,
        convention: Convention,
        mode: Mode,
        generations: int,
        ends: frozenset[int],
        gather: Gather,
    ) -> None:
        self.convention = convention
        self.mode = mode
        self.generations = generations
        self.ends = ends
        self.gather = gather

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
        seen = [place for place, why in enumerate(unreadable) if not why]
        found = self.scores([texts[place] for place in seen], [row[place] for place in seen])
        rewards: list[Reward | None] = [None] * len(row)
        for place, reward in zip(seen, found, strict=True):
            rewards[place] = reward
        trained = self.deal(row, rewards)
        log_extra(
            EXTRA,
            [
                {
                    "example_id": r["example_id"],
                    "objective": r["objective"],
                    "kind": r["kind"],
                    "completion": text,
                    "reward": total,
                    "components": dict(reward.components) if reward else {},
                    "reason": reward.reason if reward else "unreadable" if why else "error",
                    "length": len(ids),
                    "truncated": not ids or ids[-1] not in self.ends,
                }
                for r, text, reward, total, ids, why in zip(
                    row, texts, rewards, trained, completion_ids, unreadable, strict=True
                )
            ],
        )
        for r, reward, total in zip(row, rewards, trained, strict=True):
            log_metric("unscored", float(total is None))
            if reward is not None:
                log_metric(f"rewards/{r['objective']}", reward.total)
                for part, value in reward.components.items():
                    log_metric(f"components/{r['objective']}/{part}", value)
        return trained

    def scores(self, texts: Sequence[str], rows: Sequence[Row]) -> list[Reward | None]:
        """Rewards of answers whose pictures were seen; None for what cannot be scored."""
        return [self._score(text, row) for text, row in zip(texts, rows, strict=True)]

    def _score(self, text: str, row: Row) -> Reward | None:
        try:
            return score(text, row, self.mode, self.convention)
        except Exception:  # a run of days does not end because of one answer
            log.exception("an answer to example %s could not be scored", row.get("example_id"))
            return None


def text_of(completion: Any) -> str:
    """Text of a completion: TRL gives a conversational one as a list of one message."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def check_groups(ids: Sequence[str], generations: int) -> None:
    """Ids of the examples of all ranks in order must be groups of one example each.

    Raises:
        GroupError: they are not.
    """
    whole = [ids[start : start + generations] for start in range(0, len(ids), generations)]
    mixed = [group for group in whole if len(set(group)) != 1 or len(group) != generations]
    if mixed:
        raise GroupError(
            f"{len(mixed)} of {len(whole)} groups mix examples, as {sorted(set(mixed[0]))[:3]}: "
            "advantages would compare answers to different questions. Do not shuffle the data per "
            "process, and keep trainer.num_generations what the sampler repeats."
        )
