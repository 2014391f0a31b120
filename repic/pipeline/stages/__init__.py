"""The stages of a build, in the order in which they run."""

from __future__ import annotations

from repic.pipeline.stages.base import Stage
from repic.pipeline.stages.embeddings import EmbeddingStage
from repic.pipeline.stages.examples import ExampleStage
from repic.pipeline.stages.images import ImageStage, ProbeStage
from repic.pipeline.stages.labels import LabelStage
from repic.pipeline.stages.objects import DetectionStage, ObjectStage
from repic.pipeline.stages.pairs import PairStage
from repic.pipeline.stages.quarantine import QuarantineStage

STAGES: tuple[Stage, ...] = (
    ProbeStage(),
    ImageStage(),
    DetectionStage(),
    ObjectStage(),
    EmbeddingStage(),
    PairStage(),
    LabelStage(),
    ExampleStage(),
    QuarantineStage(),
)
