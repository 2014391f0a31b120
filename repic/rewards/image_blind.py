"""What answers that ignore the photo earn, by the reward that training uses.

Such a policy is learned on the rows of train and applied to every split:

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
from repic.images.coordinates import Box, Convention
from repic.objectives import identify, lazy_answers
from repic.objectives.base import Mode, Row, seed_of
from repic.objectives.query_view import QueryView
from repic.rewards.gold import general_caption
from repic.rewards.scoring import score

MOST_ROWS = 2_000
"""Rows per objective and split that are scored, drawn by id."""

WITH_ALL, WITH_NONE = "a general sentence with all names", "a general sentence without names"


@dataclass(frozen=True)
class BlindEarning:
    """What the best answers that ignore the photo earn in a split.

    Attributes:
        objective: oct, vlt, ict (captions) or which.
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
    groups: dict[str, dict[str, list[Row]]] = {
        name: {split: [] for split in SPLITS} for name in ("oct", "vlt", "ict", identify.KIND)
    }
    for row in rows:
        is_which = row["objective"] == "ict" and row["kind"] == identify.KIND
        groups[identify.KIND if is_which else row["objective"]][row["split"]].append(row)
    return [
        earning
        for name, by_split in groups.items()
        for earning in _of_objective(name, by_split, mode, convention)
    ]


def _of_objective(
    name: str, by_split: Mapping[str, list[Row]], mode: Mode, convention: Convention
) -> Iterator[BlindEarning]:
    drawn = {
        split: nsmallest(MOST_ROWS, rows, key=lambda row: seed_of(row["example_id"]))
        for split, rows in by_split.items()
    }
    if not drawn["train"]:
        return
    box = Box(*lazy_answers.measure(drawn["train"])[0].box) if name == "vlt" else None
    rewards = {
        split: [_rewards(row, box, mode, convention) for row in rows]
        for split, rows in drawn.items()
    }
    policy = _best(rewards["train"])
    for split, found in rewards.items():
        if found:
            # Numbers of names that train does not have get the first answer.
            said = {names: policy.get(names, next(iter(of))) for names, of in found}
            earned = fmean(of[said[names]] for names, of in found)
            yield BlindEarning(name, split, len(found), _described(said), earned)


def _rewards(
    row: Row, box: Box | None, mode: Mode, convention: Convention
) -> tuple[int, dict[str, float]]:
    """The number of names that a row gives, and the reward of each answer by its label."""
    answers = _answers(row, box, convention)
    names = len(row["references"]) if row["objective"] == "ict" else 0
    return names, {
        label: score(answer, row, mode, convention).total for label, answer in answers.items()
    }


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


def _answers(row: Row, box: Box | None, convention: Convention) -> dict[str, str]:
    """The answers that do not depend on the photo, by label."""
    if row["objective"] == "oct":
        return {word: word for word in ("yes", "no")}
    if row["objective"] == "vlt":
        assert box is not None
        view = QueryView.of(row)
        text = convention.render(box.scale(view.width, view.height), view.width, view.height)
        x1, y1, x2, y2 = (f"{100 * side:.0f}" for side in box.as_list())
        return {f"the box from {x1} to {x2} % across, {y1} to {y2} % down": text}
    names = [f"<{reference['name']}>" for reference in row["references"]]
    if row["kind"] == identify.KIND:
        positions = {f"name {number}": name for number, name in enumerate(names, 1)}
        return {identify.NONE: identify.NONE, **positions}
    return {WITH_NONE: general_caption([]), WITH_ALL: general_caption(names)}
