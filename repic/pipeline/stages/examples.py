"""Examples: what the three objectives make of one build."""

from __future__ import annotations

import pyarrow as pa

from repic import objectives
from repic.config.build import Settings
from repic.pipeline.stages.base import Inputs, Json, Output, SetStage
from repic.tables import TABLES


class Examples(SetStage):
    """Draw every training example, and write those that the last version does not hold as they are.

    Drawing looks at everything; writing a row takes ten times as long, and needs little.
    """

    name = "examples"
    version = 9
    keeps = True
    reads = ("images", "objects", "groups", "pairs")
    writes = ("examples",)

    def recipe(self, settings: Settings) -> Json:
        return objectives.describe(settings.examples)

    def run(self, inputs: Inputs) -> Output:
        groups = inputs.tables["groups"]
        before = inputs.before.get("examples", TABLES["examples"].empty())
        splits = dict(zip(groups["image_id"].to_pylist(), groups["split"].to_pylist(), strict=True))
        known = before.select(objectives.LIGHT).to_pylist()
        rows, notes = objectives.build(
            inputs.tables["images"],
            inputs.tables["objects"],
            inputs.tables["pairs"],
            splits,
            inputs.settings.examples,
            {row["draft"]: row for row in known},
        )
        places = {row["draft"]: place for place, row in enumerate(known)}
        fresh = [row for row in rows if row["draft"] not in places]
        places |= {row["draft"]: place for place, row in enumerate(fresh, before.num_rows)}
        examples = pa.concat_tables([before, TABLES["examples"].table(fresh)])
        examples = examples.take(pa.array([places[row["draft"]] for row in rows], pa.int64()))
        return Output(
            {"examples": TABLES["examples"].check(examples)},
            {note.objective: note.as_json() for note in notes},
        )
