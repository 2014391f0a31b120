"""Quarantine: every input that some stage refused, with the reason."""

from __future__ import annotations

from dataclasses import asdict, replace

from repic.config import Settings
from repic.pipeline.stages.base import Inputs, Json, Output, SetStage, rows_of


class Quarantine(SetStage):
    """Collect what the source and the row-wise stages refused: a photo that cannot be decoded in
    every place where it lies, one that only a later stage refused once."""

    name = "quarantine"
    version = 1
    reads = ("source", "probes", "detections", "embeddings")
    writes = ("quarantine",)

    def recipe(self, settings: Settings) -> Json:
        return None

    def run(self, inputs: Inputs) -> Output:
        places = {f.image_id: (f.photo.uri, *f.also_at) for f in inputs.scan.found}
        here = [
            replace(reject, uri=uri)
            for reject in inputs.rejects
            if reject.image_id in places
            for uri in places[reject.image_id][: None if reject.stage == "images" else 1]
        ]
        refused = {(r.uri, r.stage): asdict(r) for r in (*inputs.scan.rejects, *here)}
        return Output({"quarantine": rows_of("quarantine", list(refused.values()))})
