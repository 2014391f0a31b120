"""Interface of a stage: what it reads, what it writes, and how it computes one from the other.

A row-wise stage (`RowStage`) maps each input on its own, so results are kept and only missing ones
are computed. A whole-table stage (`TableStage`) sees all rows of its input tables at once.
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
from storage.store import Store

Json = Any


@dataclass(frozen=True)
class ShardOutput:
    """Output of one shard of a row-wise stage: rows of its table, and refused inputs."""

    rows: pa.Table
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Everything a stage may use: the scan of the source, and the tables that it reads.

    Attributes:
        rejects: Inputs that the row-wise stages it reads have ever refused.
        previous: For a stage with `reuses_rows`: its latest tables, empty if their recipe differs.
            It may copy a row that it would compute again unchanged.
        store: Where a stage may keep what saves time in a later build, if there is one. Its rows
            must not depend on it.
    """

    settings: Settings
    scan: Scan
    tables: Mapping[str, pa.Table]
    rejects: tuple[Reject, ...] = ()
    previous: Mapping[str, pa.Table] = field(default_factory=dict)
    store: Store | None = None


@dataclass(frozen=True)
class Output:
    """Output of a whole-table stage: its tables, and notes for the user (counts, reasons)."""

    tables: Mapping[str, pa.Table]
    notes: Mapping[str, Json] = field(default_factory=dict)


class Stage(ABC):
    """A step of the build.

    Attributes:
        name: Name of the stage; a row-wise stage writes the table of the same name.
        version: Increment it when the same input gives different rows; a golden test checks this.
        reads: Tables that it reads; "source" is the scan.
        writes: Tables that it writes.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def recipe(self, settings: Settings) -> Json:
        """Everything that determines a row besides its input, such as models and thresholds.

        Must not import torch.
        """

    def models(self, settings: Settings) -> dict[str, Json]:
        """Models that it runs, by role, for the lineage. Must not import torch."""
        return {}

    def fingerprint(self, settings: Settings) -> str:
        """Hash of the stage's name, version and recipe."""
        return fingerprint([self.name, self.version, self.recipe(settings)])


class RowStage(Stage):
    """A function of single inputs, whose results are kept under the stage's fingerprint.

    Attributes:
        subject: Column of its table that identifies the input of a row.
    """

    subject: ClassVar[str]

    def parts_of(self, settings: Settings) -> list[Settings]:
        """Settings under which its inputs are computed, if not all photos have the same.

        Each input belongs to one of them, and its result is kept under the fingerprint of that one.
        """
        return [settings]

    @abstractmethod
    def inputs(self, inputs: Inputs) -> pa.Table:
        """One row per input: `key`, `image_id`, and the columns that `run` needs.

        Only inputs that belong to `inputs.settings`, which is one of `parts_of`.

        Inputs with the same key have the same result. The key is the value of `subject`, optionally
        followed by a dash and a hash of anything else that the result depends on.
        """

    def load(self, settings: Settings) -> None:
        """Load its model into this process, so that wrong settings fail before another model runs.

        Raises:
            ConfigError, WeightsError, DeviceError: the model cannot be loaded.
        """

    @abstractmethod
    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        """Compute the results of some inputs; each must be independent of the other inputs."""


class TableStage(Stage):
    """A function of whole tables.

    Attributes:
        reuses_rows: Whether it copies unchanged rows from `Inputs.previous`. The output must be the
            same as without them.
    """

    reuses_rows: ClassVar[bool] = False

    @abstractmethod
    def run(self, inputs: Inputs) -> Output:
        """Compute the complete tables."""


def rows_of(table: str, rows: list[dict]) -> pa.Table:
    """A validated table of these rows, sorted by key so that their order does not matter."""
    unsorted = TABLES[table].table(rows)
    return unsorted.sort_by([(column, "ascending") for column in TABLES[table].key])
