"""Object detectors, chosen by the settings.

One module per family: `yolo` (ultralytics YOLO, YOLO-World and YOLOE, AGPL-3.0), `grounded`
(OWLv2 and Grounding DINO through transformers, Apache-2.0) and `main_object` (an ImageNet
classifier, for photos with one subject). They share `base`: each photo is letterboxed to one fixed
square and batches have one fixed size, so that a box depends on its own photo only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.errors import ConfigError
from repic.models import weights
from repic.models.detectors import grounded, main_object, yolo
from repic.models.detectors.base import Detection, Detector, Prepared
from repic.models.devices import ResolvedRuntime
from storage.hashing import fingerprint

if TYPE_CHECKING:
    from repic.config import DetectorSettings, RuntimeSettings

__all__ = ["Detection", "Detector", "Prepared", "describe", "load"]


def describe(settings: DetectorSettings, runtime: RuntimeSettings) -> dict[str, Any]:
    """JSON of everything that can change a box, for the fingerprint. Does not import torch.

    Local weights are identified by their hash, models on the hub by name.

    Raises:
        ConfigError: the kind needs a checkpoint or a vocabulary that is not set.
        WeightsError: the weights file does not exist.
    """
    limits = {
        "confidence": settings.confidence,
        "max_objects": settings.max_objects,
        "min_area_share": settings.min_area_share,
    }
    if settings.kind == "annotation":
        return {"kind": settings.kind, **limits}
    resolved = ResolvedRuntime.of(runtime).describe()
    if settings.kind == "photos":
        return {"kind": settings.kind, **main_object.describe(), **limits, **resolved}
    return {
        "kind": settings.kind,
        "checkpoint": _describe_checkpoint(settings),
        "text_encoder": _describe_text_encoder(settings),
        "vocabulary": list(settings.vocabulary),
        "image_size": settings.image_size,
        "iou": settings.iou,
        **limits,
        **resolved,
    }


def load(settings: DetectorSettings, runtime: RuntimeSettings) -> Detector:
    """Load the detector onto its device.

    Raises:
        ConfigError: the settings contradict each other or the checkpoint.
        WeightsError: the weights do not exist.
        DeviceError: the device cannot be used.
    """
    if settings.kind == "annotation":
        raise ConfigError(
            "detector.kind=annotation takes the boxes of the source's annotations and has no "
            "model; choose another kind for photos without annotations"
        )
    resolved = ResolvedRuntime.of(runtime)
    name = fingerprint(describe(settings, runtime))
    if settings.kind == "photos":
        return main_object.MainObjectDetector(settings, resolved, name)
    if settings.kind == "transformers":
        return grounded.load(settings, resolved, name)
    return yolo.load(settings, resolved, name)


def _describe_checkpoint(settings: DetectorSettings) -> Any:
    if not settings.checkpoint:
        raise ConfigError(f"detector.kind={settings.kind} needs a detector.checkpoint")
    if settings.kind in {"yoloe", "transformers"} and not settings.vocabulary:
        raise ConfigError(f"detector.kind={settings.kind} needs a detector.vocabulary to look for")
    if settings.kind != "transformers":
        return weights.sha256(yolo.find(settings.checkpoint))
    folder = Path(settings.checkpoint).expanduser()
    return weights.sha256_of_folder(folder) if folder.is_dir() else settings.checkpoint


def _describe_text_encoder(settings: DetectorSettings) -> dict[str, Any] | None:
    from repic.models.open_clip_checkpoint import OpenClipCheckpoint

    if settings.text_encoder is None:
        return None
    if settings.kind not in {"yolo-world", "yoloe"}:
        raise ConfigError(
            f"detector.text_encoder belongs to yolo-world and yoloe; {settings.kind} has none"
        )
    return OpenClipCheckpoint.parse(settings.text_encoder).describe()
