"""Types of the attack suite: a row under attack, an attack, a paraphrase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repic.images.coordinates import Convention
from repic.objectives.base import Row

Task = str
"""What a row asks, see `Objective.task`: oct, vlt, ict (a caption), which (the one name of an
object, an ICT row, too), or the objective of a plug-in."""


@dataclass(frozen=True)
class Target:
    """A row under attack, with its gold answer; an attacker may use all of it."""

    row: Row
    gold: str
    convention: Convention


Make = Callable[[Target], str | None]
"""The text of an attack or a paraphrase for a target; None where it does not apply."""


@dataclass(frozen=True)
class Attack:
    """One way to earn a reward without an honest answer.

    Attributes:
        family: The kind of trick.
        rule: The rule of the reward that it tries to break.
        name: Unique within its task and family.
    """

    task: Task
    family: str
    rule: str
    name: str
    make: Make


@dataclass(frozen=True)
class Paraphrase:
    """One way to write an honest answer.

    Attributes:
        family: What is varied.
        name: Unique within its task and family.
    """

    task: Task
    family: str
    name: str
    make: Make
