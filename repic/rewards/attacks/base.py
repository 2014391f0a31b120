"""Attacks on the rewards: answers that must score below the honest answer of their row.

An attack is a name, the family it belongs to, the rule that it tests, and how its text comes from a
row. Those of each objective are in a module of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repic.images.coordinates import Convention
from repic.objectives.base import Row


@dataclass(frozen=True)
class Target:
    """A row under attack, with what its attacker may know: everything."""

    row: Row
    honest: str
    convention: Convention


Make = Callable[[Target], str | None]
"""The text of an attack on a target; None where it does not apply."""


@dataclass(frozen=True)
class Attack:
    """One way to score without an honest answer.

    Attributes:
        task: oct, vlt, ict (captions) or which.
        family: What kind of trick it is.
        rule: The rule of the reward that it tests.
        name: Unique within its task.
    """

    task: str
    family: str
    rule: str
    name: str
    make: Make


def all_attacks() -> tuple[Attack, ...]:
    """Every attack, in a fixed order."""
    from repic.rewards.attacks import captions, claims, identify, oct, vlt

    return (
        *oct.ATTACKS,
        *vlt.ATTACKS,
        *captions.ATTACKS,
        *claims.ATTACKS,
        *identify.ATTACKS,
    )


MEGABYTE = 1_000_000
