"""What a stage is: a value that knows what it reads, what it writes and how to make it.

There are two kinds. A row-wise stage has one result per input, whatever the other inputs are, so
its results are kept and only what is missing is computed. A whole-set stage looks at everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from repic.config import Settings
from repic.pipeline.scan import Reject, Scan
from repic.tables import TABLES
from storage.hashing import fingerprint

Json = Any


@dataclass(frozen=True)
class Result:
    """What a shard of a row-wise stage gave: rows of its table, and the inputs that it refused."""

    rows: pa.Table
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """All that a stage may look at: what the source holds, and the tables that it reads.

    Attributes:
        before: What a whole-set stage that keeps rows wrote last by the very same recipe; empty
            tables if it never did. A row of it may be kept where it would come out the same.
    """

    settings: Settings
    scan: Scan
    tables: Mapping[str, pa.Table]
    rejects: tuple[Reject, ...] = ()
    before: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """What a whole-set stage made: its tables, and notes for a person (counts, reasons)."""

    tables: Mapping[str, pa.Table]
    notes: Mapping[str, Json] = field(default_factory=dict)


class Stage(ABC):
    """A step of the build.

    Attributes:
        name: Of the stage.
        version: Raised by hand when the same input would give other rows; a golden test guards it.
        reads: Tables that it needs.
        writes: Tables that it makes, all with one fingerprint.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def recipe(self, settings: Settings) -> Json:
        """All that decides a row besides its input: model, thresholds. Must not import torch."""

    def models(self, settings: Settings) -> dict[str, Json]:
        """Models that it runs, by role, for the lineage. Must not import torch."""
        return {}

    def fingerprint(self, settings: Settings) -> str:
        """Of what makes a row of this stage from its input."""
        return fingerprint([self.name, self.version, self.recipe(settings)])


class RowStage(Stage):
    """One result per input, kept under the stage's fingerprint.

    Attributes:
        subject: Column of its table that says which input a row came from.
    """

    subject: ClassVar[str]

    @abstractmethod
    def inputs(self, inputs: Inputs) -> pa.Table:
        """One row per input: `key`, `image_id`, and what `run` needs.

        The key decides the result. It is the value of `subject`, and after a dash whatever else of
        the input the result depends on.
        """

    @abstractmethod
    def run(self, inputs: pa.Table, settings: Settings) -> Result:
        """Results of some inputs; a row may not depend on its companions."""


class SetStage(Stage):
    """A function of whole tables.

    Attributes:
        keeps: Whether it looks at what it wrote last (`Inputs.before`). What it makes must be the
            same as without.
    """

    keeps: ClassVar[bool] = False

    @abstractmethod
    def run(self, inputs: Inputs) -> Output:
        """The tables, complete."""


def rows_of(table: str, rows: list[dict]) -> pa.Table:
    """Rows as a checked table, sorted by its key so that the order of work leaves no trace."""
    made = TABLES[table].table(rows)
    return made.sort_by([(column, "ascending") for column in TABLES[table].key])
