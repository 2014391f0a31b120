"""The build as a list of stages, in order. Nothing else knows the order."""

from __future__ import annotations

from repic.pipeline.stages.base import Stage
from repic.pipeline.stages.embeddings import Embeddings
from repic.pipeline.stages.examples import Examples
from repic.pipeline.stages.images import Images, Probes
from repic.pipeline.stages.objects import Detections, Objects
from repic.pipeline.stages.pairs import Pairs
from repic.pipeline.stages.refusals import Quarantine

STAGES: tuple[Stage, ...] = (
    Probes(),
    Images(),
    Detections(),
    Objects(),
    Embeddings(),
    Pairs(),
    Examples(),
    Quarantine(),
)
