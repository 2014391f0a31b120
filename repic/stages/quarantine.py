"""Quarantine: every input that some stage refused, with the reason."""

from __future__ import annotations

from dataclasses import asdict, replace

from repic.config import Settings
from repic.stages.base import Inputs, Json, Output, SetStage, rows_of


class Quarantine(SetStage):
    """Collect what the source and the row-wise stages refused."""

    name = "quarantine"
    version = 1
    reads = ("source", "probes", "detections", "embeddings")
    writes = ("quarantine",)

    def recipe(self, settings: Settings) -> Json:
        return None

    def run(self, inputs: Inputs) -> Output:
        uris = {f.image_id: f.photo.uri for f in inputs.scan.found}
        here = [
            replace(reject, uri=uris[reject.image_id])
            for reject in inputs.rejects
            if reject.image_id in uris
        ]
        refused = {(r.uri, r.stage): asdict(r) for r in (*inputs.scan.rejects, *here)}
        return Output({"quarantine": rows_of("quarantine", list(refused.values()))})
