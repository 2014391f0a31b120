"""Interface of a stage: what it reads, what it writes, and how it computes one from the other.

A row-wise stage (`RowStage`) maps each input on its own, so results are kept and only missing ones
are computed. A whole-table stage (`TableStage`) sees all rows of its input tables at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repic.config import Settings
from repic.pipeline.scan import Reject, Scan
from repic.tables import TABLES
from storage.hashing import fingerprint
from storage.store import Store

Json = Any


@dataclass(frozen=True)
class ShardOutput:
    """Output of one shard of a row-wise stage.

    Attributes:
        rows: Of its table.
        rejects: Refused inputs.
        counts: Value of the stage's `subject` -> what is counted of this input, as JSON.
        made_from: Of each row, a hash of all that it is made from besides the settings, int64; None
            for a stage that does not tell. See `RowStage.run_again`.
    """

    rows: pa.Table
    rejects: tuple[Reject, ...] = ()
    counts: Mapping[str, Json] = field(default_factory=dict)
    made_from: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Inputs:
    """Everything a stage may use: the scan of the source, and the tables that it reads.

    Attributes:
        rejects: Inputs that the row-wise stages it reads have ever refused.
        store: Where a stage may keep what saves time in a later build, if there is one. Its rows
            must not depend on it.
    """

    settings: Settings
    scan: Scan
    tables: dict[str, pa.Table]
    rejects: tuple[Reject, ...] = ()
    store: Store | None = None

    def take(self, name: str) -> pa.Table:
        """A table that the stage looks at only now: its memory is free once the caller drops it."""
        return self.tables.pop(name)


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
        columns: Columns that it uses of a large table, of which the others are not read.
        writes: Tables that it writes.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]]
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
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


class PreparedInputs(ABC):
    """The inputs of a row-wise stage, of which a shard is put together when it is computed."""

    @property
    @abstractmethod
    def keys(self) -> pa.Table:
        """`key` and `image_id` of each input; see `RowStage.inputs`."""

    @abstractmethod
    def take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        """Some of the inputs, by their numbers, with all columns that `RowStage.run` needs."""

    def select(
        self, rows: Iterable[pa.Table], counts: Iterable[Json]
    ) -> tuple[npt.NDArray[np.bool_], Mapping[str, Json]]:
        """Which rows are published, all by default, and notes; for a stage with `selects_by`.

        Args:
            rows: All rows of the inputs, with these columns, in several tables.
            counts: The `ShardOutput.counts` of the inputs.
        """
        return np.ones(sum(table.num_rows for table in rows), bool), {}


@dataclass(frozen=True)
class TableOfInputs(PreparedInputs):
    """Inputs that are in memory with all their columns."""

    table: pa.Table

    @property
    def keys(self) -> pa.Table:
        return self.table.select(["key", "image_id"])

    def take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        return self.table.take(pa.array(rows))


class RowStage(Stage):
    """A function of single inputs, whose results are kept under its `row_fingerprint`.

    Attributes:
        subject: Column of its table that identifies the input of a row.
        selects_by: Columns by which the rows of all inputs are selected for the published table;
            empty if all rows are published.
        keeps_rows: Whether `run_again` keeps rows of an earlier result.
    """

    subject: ClassVar[str]
    selects_by: ClassVar[tuple[str, ...]] = ()
    keeps_rows: ClassVar[bool] = False

    def row_recipe(self, settings: Settings) -> Json:
        """The `recipe` without what only selects rows of the published table."""
        return self.recipe(settings)

    def row_fingerprint(self, settings: Settings) -> str:
        """Hash under which results are kept: of the stage's name, version and `row_recipe`."""
        return fingerprint([self.name, self.version, self.row_recipe(settings)])

    def parts_of(self, settings: Settings) -> list[Settings]:
        """Settings under which its inputs are computed, if not all photos have the same.

        Each input belongs to one of them, and its result is kept under its `row_fingerprint`.
        """
        return [settings]

    @abstractmethod
    def inputs(self, inputs: Inputs) -> pa.Table:
        """One row per input: `key`, `image_id`, and the columns that `run` needs.

        Only inputs that belong to `inputs.settings`, which is one of `parts_of`.

        Inputs with the same key have the same result. The key is the value of `subject`, optionally
        followed by a dash and a hash of anything else that the result depends on.
        """

    def prepare(self, inputs: Inputs) -> PreparedInputs:
        """The inputs; those that need much memory are put together shard by shard."""
        return TableOfInputs(self.inputs(inputs))

    def load(self, settings: Settings) -> None:
        """Load its model into this process, so that wrong settings fail before another model runs.

        Raises:
            ConfigError, WeightsError, DeviceError: the model cannot be loaded.
        """

    @abstractmethod
    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        """Compute the results of some inputs; each must be independent of the other inputs."""

    def run_again(self, inputs: pa.Table, settings: Settings, earlier: ShardOutput) -> ShardOutput:
        """The same as `run`, which takes less where an input has changed little.

        Args:
            earlier: Rows about these subjects under other keys, under the same `row_fingerprint`.
        """
        return self.run(inputs, settings)


class TableStage(Stage):
    """A function of whole tables."""

    @abstractmethod
    def run(self, inputs: Inputs) -> Output:
        """Compute the complete tables."""


def rows_of(table: str, rows: list[dict]) -> pa.Table:
    """A validated table of these rows, sorted by key so that their order does not matter."""
    unsorted = TABLES[table].table(rows)
    return unsorted.sort_by([(column, "ascending") for column in TABLES[table].key])
