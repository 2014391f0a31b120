"""Examples: the rows that the three objectives make from one build."""

from __future__ import annotations

import pyarrow as pa

from repic import objectives
from repic.config import Settings
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage
from repic.tables import TABLES


class ExampleStage(TableStage):
    """Draft all training examples, and write the rows that the last version does not have.

    A row whose draft is unchanged is copied, since writing it takes ten times as long as drafting.
    """

    name = "examples"
    version = 14
    reuses_rows = True
    reads = ("images", "objects", "groups", "labels", "pairs")
    writes = ("examples",)

    def recipe(self, settings: Settings) -> Json:
        return objectives.describe(settings.examples, settings.sources)

    def run(self, inputs: Inputs) -> Output:
        groups, labels = inputs.tables["groups"], inputs.tables["labels"]
        previous = inputs.previous.get("examples", TABLES["examples"].empty())
        splits = dict(zip(groups["image_id"].to_pylist(), groups["split"].to_pylist(), strict=True))
        sources = inputs.settings.sources
        existing = previous.select(objectives.selection_columns(sources)).to_pylist()
        rows, summaries = objectives.build(
            inputs.tables["images"],
            inputs.tables["objects"],
            dict(zip(labels["object_id"].to_pylist(), labels["label"].to_pylist(), strict=True)),
            inputs.tables["pairs"],
            splits,
            inputs.settings.examples,
            {row["draft"]: row for row in existing},
            sources,
        )
        index = {row["draft"]: i for i, row in enumerate(existing)}
        fresh = [row for row in rows if row["draft"] not in index]
        index |= {row["draft"]: i for i, row in enumerate(fresh, previous.num_rows)}
        examples = pa.concat_tables([previous, TABLES["examples"].table(fresh)])
        examples = examples.take(pa.array([index[row["draft"]] for row in rows], pa.int64()))
        return Output(
            {"examples": TABLES["examples"].check(examples)},
            {summary.objective: summary.as_json() for summary in summaries},
        )
