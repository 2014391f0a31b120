"""All attacks and all honest paraphrases on real rows: what succeeded, and who was punished."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives.base import Row
from repic.objectives.identify import KIND as WHICH
from repic.rewards.attacks.base import Attack, Target, all_attacks
from repic.rewards.attacks.known_gaps import KnownGap, measure
from repic.rewards.attacks.paraphrases import Paraphrase, all_paraphrases
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score

ROWS = 6
"""Rows that each attack and each paraphrase is tried on, at most."""

LOST = 0.05
"""What a paraphrase may lose against the canonical answer of its row."""

ENOUGH = 0.95
"""Least score of a canonical answer; a row below is not a row to measure on."""


@dataclass(frozen=True)
class FailedCase:
    """An attack that scored too much, or a paraphrase that scored too little."""

    task: str
    family: str
    name: str
    example_id: str
    text: str
    total: float
    honest: float
    reason: str


@dataclass
class AttackReport:
    """What came of it.

    Attributes:
        attacks: Distinct attacks that applied to at least one row.
        tried: Attacks times rows; `released` counts successes against the released rewards.
        families: (task, family) -> tried, succeeded, succeeded against the released rewards.
        paraphrases: Distinct honest answers, times rows in `answers`.
        unused: Rows without a canonical answer that scores `ENOUGH`.
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
        """The counts that the command prints, and each case that went wrong."""
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
            "undefended": [case.as_json() for case in self.undefended],
            "failures": [vars(case) for case in (*self.succeeded, *self.punished)],
        }


def task_of(row: Row) -> str:
    """oct, vlt, ict (captions) or which."""
    return WHICH if row["kind"] == WHICH else row["objective"]


def run(
    rows: Sequence[Row], convention: Convention = QWEN3_VL, per_attack: int = ROWS
) -> AttackReport:
    """Try everything, on the first rows by id that each applies to.

    An attack succeeds if it scores at or above the canonical honest answer of its row.
    """
    report = AttackReport()
    targets: dict[str, list[tuple[Target, float, float]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["example_id"]):
        report.rows[task_of(row)] += 1
        text = gold_answer(row, convention)
        best = score(text, row, "strict", convention).total if text is not None else 0.0
        if text is None or best < ENOUGH:
            report.unused += 1
            continue
        released = score(text, row, "paper", convention).total
        targets[task_of(row)].append((Target(row, text, convention), best, released))
    for attack in all_attacks():
        _attack(report, attack, targets[attack.task], per_attack)
    for paraphrase in all_paraphrases():
        _paraphrase(report, paraphrase, targets[paraphrase.task], per_attack)
    report.undefended = measure([t for of in targets.values() for t, _, _ in of], convention)
    return report


def _attack(
    report: AttackReport, attack: Attack, targets: Sequence[tuple[Target, float, float]], most: int
) -> None:
    counts, used = report.families[attack.task, attack.family], 0
    for target, best, released in targets:
        if used == most:
            break
        text = attack.make(target)
        if text is None:
            continue
        used += 1
        counts["tried"] += 1
        got = score(text, target.row, "strict", target.convention)
        if got.total >= best:
            counts["succeeded"] += 1
            report.succeeded.append(_case(attack, target, text, got.total, best, got.reason))
        if score(text, target.row, "paper", target.convention).total >= max(released, 1e-9):
            counts["released"] += 1
            report.released += 1
    report.tried += used
    report.attacks += used > 0


def _paraphrase(
    report: AttackReport,
    form: Paraphrase,
    targets: Sequence[tuple[Target, float, float]],
    most: int,
) -> None:
    used = 0
    for target, best, released in targets:
        if used == most:
            break
        text = form.make(target)
        if text is None:
            continue
        used += 1
        got = score(text, target.row, "strict", target.convention)
        if got.total < best - LOST:
            report.punished.append(_case(form, target, text, got.total, best, got.reason))
        paper = score(text, target.row, "paper", target.convention).total
        report.released_punished += paper < released - LOST
    report.answers += used
    report.paraphrases += used > 0


def _case(
    of: Attack | Paraphrase, target: Target, text: str, total: float, best: float, reason: str
) -> FailedCase:
    example = target.row["example_id"]
    return FailedCase(of.task, of.family, of.name, example, text[:300], total, best, reason)
