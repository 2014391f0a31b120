"""What answers that ignore the photo earn, by the reward that training uses.

Such a policy is learned on the rows of train and applied to every split; see `Objective.blind`:

- OCT: one word for all questions.
- VLT: one box for all photos (`repic.objectives.lazy_answers`).
- ICT: a sentence that fits any photo, with all of the given names or with none, whichever earns
  more for that number of names.
- `which` rows: the name at one position, or none, for each number of names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from statistics import fmean

from repic.config import SPLITS
from repic.images.coordinates import Convention
from repic.objectives import in_order, objective_of
from repic.objectives.base import Mode, Row, seed_of
from repic.rewards.scoring import score

MOST_ROWS = 2_000
"""Rows per objective and split that are scored, drawn by id."""


@dataclass(frozen=True)
class BlindEarning:
    """What the best answers that ignore the photo earn in a split.

    Attributes:
        objective: The task: oct, vlt, ict (captions), which, or the objective of a plug-in.
        rows: Number of rows that were scored.
        answer: The answers, in words.
        reward: Their mean reward, 0 to 1.
    """

    objective: str
    split: str
    rows: int
    answer: str
    reward: float


def measure(rows: Iterable[Row], mode: Mode, convention: Convention) -> list[BlindEarning]:
    """One result per objective and split that has rows; `which` rows are counted apart.

    Without rows of train, nothing can be learned and nothing is returned.
    """
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        key = row["objective"], objective_of(row["objective"]).task(row)
        groups.setdefault(key, {split: [] for split in SPLITS})[row["split"]].append(row)
    order = in_order(name for name, _ in groups)
    return [
        earning
        for key in sorted(groups, key=lambda key: (order.index(key[0]), key[0] != key[1]))
        for earning in _of_task(*key, groups[key], mode, convention)
    ]


def _of_task(
    name: str, task: str, by_split: Mapping[str, list[Row]], mode: Mode, convention: Convention
) -> Iterator[BlindEarning]:
    drawn = {
        split: nsmallest(MOST_ROWS, rows, key=lambda row: seed_of(row["example_id"]))
        for split, rows in by_split.items()
    }
    if not drawn["train"]:
        return
    one = objective_of(name)
    answers = one.blind(task, drawn["train"])
    rewards: dict[str, list[tuple[int, dict[str, float]]]] = {
        split: [
            (one.blind_group(row), _rewards(row, answers(row, convention), mode, convention))
            for row in rows
        ]
        for split, rows in drawn.items()
    }
    if not all(of for _, of in rewards["train"]):
        return
    policy = _best(rewards["train"])
    for split, found in rewards.items():
        if found:
            # Groups, such as numbers of names, that train does not have get the first answer.
            said = {names: policy.get(names, next(iter(of))) for names, of in found}
            earned = fmean(of[said[names]] for names, of in found)
            yield BlindEarning(task, split, len(found), _described(said), earned)


def _rewards(
    row: Row, answers: Mapping[str, str], mode: Mode, convention: Convention
) -> dict[str, float]:
    """The reward of each answer by its label."""
    return {label: score(answer, row, mode, convention).total for label, answer in answers.items()}


def _best(found: Iterable[tuple[int, Mapping[str, float]]]) -> dict[int, str]:
    """The label that earns most for each number of names."""
    totals: dict[int, Counter[str]] = defaultdict(Counter)
    for names, rewards in found:
        totals[names].update(rewards)
    return {names: max(of, key=of.__getitem__) for names, of in totals.items()}


def _described(said: Mapping[int, str]) -> str:
    """The answers in words; one for all, or one for each number of names."""
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{names} names: {said[names]}" for names in sorted(said))
