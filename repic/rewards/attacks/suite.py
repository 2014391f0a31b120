"""Runs all attacks and all paraphrases of honest answers on real rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives import in_order, objective_of
from repic.objectives.base import Reward, Row
from repic.rewards.attacks.base import Attack, Paraphrase, Target, Task
from repic.rewards.attacks.computed import COMPUTED_ATTACKS
from repic.rewards.attacks.known_gaps import KnownGap, measure
from repic.rewards.attacks.paraphrases import all_paraphrases
from repic.rewards.attacks.templates import template_attacks
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score

ROWS = 6
"""Maximum rows that each attack and each paraphrase is tried on."""

LOST = 0.05
"""Maximum loss of a paraphrase against the gold answer of its row."""

ENOUGH = 0.95
"""Minimum score of a gold answer; a row whose gold answer scores less is not used."""


@dataclass(frozen=True)
class FailedCase:
    """An attack that scored too much, or a paraphrase that scored too little.

    Attributes:
        text: The first 300 characters of the answer.
        honest: Score of the gold answer.
    """

    task: Task
    family: str
    name: str
    example_id: str
    text: str
    total: float
    honest: float
    reason: str


@dataclass
class AttackReport:
    """Results of the suite.

    Attributes:
        attacks: Distinct attacks that applied to at least one row.
        tried: Attacks times rows; `released` counts successes against the released rewards.
        families: (task, family) -> tried, succeeded, succeeded against the released rewards.
        paraphrases: Distinct paraphrases that applied; `answers`: paraphrases times rows.
        undefended: The known gaps, with the rate at which each works.
        unused: Rows without a gold answer that scores `ENOUGH`.
    """

    attacks: int = 0
    tried: int = 0
    succeeded: list[FailedCase] = field(default_factory=list)
    released: int = 0
    families: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    paraphrases: int = 0
    answers: int = 0
    punished: list[FailedCase] = field(default_factory=list)
    released_punished: int = 0
    undefended: tuple[KnownGap, ...] = ()
    rows: Counter[str] = field(default_factory=Counter)
    unused: int = 0

    def as_json(self) -> dict[str, Any]:
        """The counts that the command prints, and each failed case."""
        return {
            "tried": self.tried,
            "succeeded": len(self.succeeded),
            "paraphrases": self.answers,
            "punished": len(self.punished),
            "attacks": self.attacks,
            "paraphrase_forms": self.paraphrases,
            "released": {"succeeded": self.released, "punished": self.released_punished},
            "rows": dict(self.rows),
            "rows_without_a_canonical_answer": self.unused,
            "families": [
                {"task": task, "family": family, **counts}
                for (task, family), counts in self.families.items()
            ],
            "undefended": [gap.as_json() for gap in self.undefended],
            "failures": [vars(case) for case in (*self.succeeded, *self.punished)],
        }


@dataclass(frozen=True)
class _Scored:
    """A target with the strict and the released reward of its gold answer."""

    target: Target
    strict: float
    released: float


def all_attacks() -> tuple[Attack, ...]:
    """Every attack on our objectives, in a fixed order: texts of attacks.yaml, then the rest."""
    return (*template_attacks(), *COMPUTED_ATTACKS)


def task_of(row: Row) -> Task:
    """What a row asks: oct, vlt, ict (a caption), which, or the objective of a plug-in."""
    return objective_of(row["objective"]).task(row)


def run(
    rows: Sequence[Row], convention: Convention = QWEN3_VL, per_attack: int = ROWS
) -> AttackReport:
    """Try every attack and every paraphrase on the first rows, by id, that it applies to.

    An attack succeeds if it scores at or above the gold answer of its row. A paraphrase is punished
    if it scores more than `LOST` below it.
    """
    report = AttackReport()
    targets: dict[Task, list[_Scored]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["example_id"]):
        report.rows[task_of(row)] += 1
        text = gold_answer(row, convention)
        strict = score(text, row, "strict", convention).total if text is not None else 0.0
        if text is None or strict < ENOUGH:
            report.unused += 1
            continue
        released = score(text, row, "paper", convention).total
        targets[task_of(row)].append(_Scored(Target(row, text, convention), strict, released))
    own = [objective_of(name) for name in in_order(row["objective"] for row in rows)]
    for attack in (*all_attacks(), *(attack for one in own for attack in one.attacks())):
        _try_attack(report, attack, targets[attack.task], per_attack)
    for paraphrase in (*all_paraphrases(), *(form for one in own for form in one.paraphrases())):
        _try_paraphrase(report, paraphrase, targets[paraphrase.task], per_attack)
    report.undefended = measure(
        {task: [scored.target for scored in rows] for task, rows in targets.items()}
    )
    return report


def _answers(
    form: Attack | Paraphrase, targets: Sequence[_Scored], most: int
) -> list[tuple[_Scored, str]]:
    """The text of an attack or a paraphrase for the first targets that it applies to."""
    answers: list[tuple[_Scored, str]] = []
    for scored in targets:
        if len(answers) == most:
            break
        if (text := form.make(scored.target)) is not None:
            answers.append((scored, text))
    return answers


def _try_attack(
    report: AttackReport, attack: Attack, targets: Sequence[_Scored], most: int
) -> None:
    counts = report.families[attack.task, attack.family]
    answers = _answers(attack, targets, most)
    for gold, text in answers:
        row, convention = gold.target.row, gold.target.convention
        counts["tried"] += 1
        reward = score(text, row, "strict", convention)
        if reward.total >= gold.strict:
            counts["succeeded"] += 1
            report.succeeded.append(_failed(attack, gold, text, reward))
        if score(text, row, "paper", convention).total >= max(gold.released, 1e-9):
            counts["released"] += 1
            report.released += 1
    report.tried += len(answers)
    report.attacks += bool(answers)


def _try_paraphrase(
    report: AttackReport, paraphrase: Paraphrase, targets: Sequence[_Scored], most: int
) -> None:
    answers = _answers(paraphrase, targets, most)
    for gold, text in answers:
        row, convention = gold.target.row, gold.target.convention
        reward = score(text, row, "strict", convention)
        if reward.total < gold.strict - LOST:
            report.punished.append(_failed(paraphrase, gold, text, reward))
        released = score(text, row, "paper", convention).total
        report.released_punished += released < gold.released - LOST
    report.answers += len(answers)
    report.paraphrases += bool(answers)


def _failed(form: Attack | Paraphrase, gold: _Scored, text: str, reward: Reward) -> FailedCase:
    return FailedCase(
        form.task,
        form.family,
        form.name,
        gold.target.row["example_id"],
        text[:300],
        reward.total,
        gold.strict,
        reward.reason,
    )
