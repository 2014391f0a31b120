"""The build as a list of stages, in order. Nothing else knows the order."""

from __future__ import annotations

from repic.stages.base import Stage
from repic.stages.embeddings import Embeddings
from repic.stages.examples import Examples
from repic.stages.objects import Detections, Objects
from repic.stages.pairs import Pairs
from repic.stages.photos import Images, Probes
from repic.stages.quarantine import Quarantine

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
