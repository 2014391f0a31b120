"""Examples: what the three objectives make of one build."""

from __future__ import annotations

from repic import objectives
from repic.config import Settings
from repic.stages.base import Inputs, Json, Output, SetStage, rows_of


class Examples(SetStage):
    """Draw every training example, completely."""

    name = "examples"
    version = 5
    reads = ("images", "objects", "groups", "pairs")
    writes = ("examples",)

    def recipe(self, settings: Settings) -> Json:
        return objectives.describe(settings.examples)

    def run(self, inputs: Inputs) -> Output:
        groups = inputs.tables["groups"]
        splits = dict(zip(groups["image_id"].to_pylist(), groups["split"].to_pylist(), strict=True))
        rows, notes = objectives.build(
            inputs.tables["images"],
            inputs.tables["objects"],
            inputs.tables["pairs"],
            splits,
            inputs.settings.examples,
        )
        return Output(
            {"examples": rows_of("examples", rows)},
            {note.objective: note.as_json() for note in notes},
        )
