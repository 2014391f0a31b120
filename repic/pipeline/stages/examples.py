"""Stage `examples`: the rows that the three objectives make of each photo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repic import objectives
from repic.config import Settings
from repic.objectives import ExampleInputs
from repic.pipeline.stages.base import (
    Inputs,
    Json,
    PreparedInputs,
    RowStage,
    ShardOutput,
)
from repic.tables import TABLES

_ASCENDING = [(column, "ascending") for column in (*TABLES["examples"].key, "seed")]


class ExampleStage(RowStage):
    """Write all rows about each photo; publish those that shares and totals leave.

    What many photos decide together is decided in `prepare`; see `repic.objectives.inputs`.
    """

    name = "examples"
    subject = "image_id"
    selects_by = tuple(objectives.COLUMNS)
    version = 15
    reads = ("images", "objects", "groups", "labels", "pairs")
    columns = objectives.READ
    writes = ("examples",)
    keeps_rows = True

    def recipe(self, settings: Settings) -> Json:
        return objectives.describe(settings.examples, settings.sources)

    def row_recipe(self, settings: Settings) -> Json:
        every = settings.examples.model_copy(update={"total": None, "shares": None})
        equal = [source.model_copy(update={"weight": 1.0}) for source in settings.sources]
        return objectives.describe(every, equal)

    def inputs(self, inputs: Inputs) -> pa.Table:
        prepared = self.prepare(inputs)
        return prepared.take(np.arange(prepared.keys.num_rows))

    def prepare(self, inputs: Inputs) -> PreparedInputs:
        settings, names = inputs.settings, ("images", "objects", "labels", "pairs", "groups")
        corpus = objectives.Corpus.of(*map(inputs.take, names))
        found = ExampleInputs.of(corpus, settings.examples, settings.sources)
        return PreparedExamples(found, settings)

    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        return _written(inputs, settings, ShardOutput(TABLES["examples"].empty()))

    def run_again(self, inputs: pa.Table, settings: Settings, earlier: ShardOutput) -> ShardOutput:
        return _written(inputs, settings, earlier)


def _written(inputs: pa.Table, settings: Settings, earlier: ShardOutput) -> ShardOutput:
    # Also while the rows become a table: a collection would look at each of their values.
    with objectives.without_gc():
        return _table_of_rows(inputs, settings, earlier)


def _table_of_rows(inputs: pa.Table, settings: Settings, earlier: ShardOutput) -> ShardOutput:
    known = earlier.made_from.tolist() if earlier.made_from is not None else []
    place = {made_from: i for i, made_from in enumerate(known)}
    written = objectives.write(inputs, settings.examples, settings.sources, place)
    kept = earlier.rows.take(pa.array([place[made_from] for made_from in written.kept], pa.int64()))
    rows = pa.concat_tables([TABLES["examples"].table(written.rows), kept])
    order = pc.sort_indices(rows, _ASCENDING)
    made_from = np.array(written.made_from + written.kept, np.int64)[order.to_numpy()]
    return ShardOutput(rows.take(order), counts=written.refused, made_from=made_from)


@dataclass(frozen=True)
class PreparedExamples(PreparedInputs):
    """The inputs of all photos, and the cut of their rows to shares and totals."""

    found: ExampleInputs
    settings: Settings

    @property
    def keys(self) -> pa.Table:
        return self.found.keys

    def take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        keys = self.keys["key"].take(pa.array(rows))
        return self.found.take(rows).append_column("key", keys)

    def select(
        self, rows: Iterable[pa.Table], counts: Iterable[Json]
    ) -> tuple[npt.NDArray[np.bool_], Mapping[str, Json]]:
        chosen, summaries = objectives.select(
            rows, self.found, counts, self.settings.examples, self.settings.sources
        )
        return chosen, {summary.objective: summary.as_json() for summary in summaries}
