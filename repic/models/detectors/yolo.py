"""Ultralytics YOLO, YOLO-World and YOLOE, without telemetry, downloads or pickled code.

The network of a checkpoint is called directly: the predictor of ultralytics stops suppression after
a time limit, so its results depend on load. Ultralytics is AGPL-3.0, and so is code that links to
it: it is imported when a detector is loaded, and may be missing otherwise.
"""

from __future__ import annotations

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.config import cache_folder
from repic.errors import ConfigError, WeightsError
from repic.models import shipped, weights
from repic.models.detectors.base import (
    Candidates,
    LetterboxDetector,
    Padding,
    describe_model,
    needed_checkpoint,
)

if TYPE_CHECKING:
    import torch

    from repic.config import DetectorSettings
    from repic.models.devices import ResolvedRuntime

STRIDE = 32
GREY = Padding(centered=True, color=(114, 114, 114))

WORLD_TEXT = "ViT-B-32-quickgelu:openai"
YOLOE_TEXT = {
    "mobileclip:blt": "MobileCLIP-B:datacompdr_lt",
    "mobileclip2:b": "MobileCLIP2-B:dfndr2b",
}
"""Text encoder named in a YOLOE checkpoint -> its name in OpenCLIP."""


def find(checkpoint: str) -> Path:
    """Path of a YOLO checkpoint; `sample` is the one that the package ships.

    Checkpoints are never downloaded because their hash is part of a fingerprint.

    Raises:
        WeightsError: the file does not exist.
    """
    if checkpoint == shipped.NAME:
        return shipped.detector_file()
    return weights.find(
        checkpoint,
        "detector.checkpoint",
        "`repic models pull PROFILE` fetches those that ultralytics publishes.",
    )


def describe(settings: DetectorSettings) -> dict[str, Any]:
    """JSON of the model; see `repic.models.detectors.describe`.

    Raises:
        ConfigError: ultralytics is not installed, or settings of the detector exclude each other.
    """
    if find_spec("ultralytics") is None:
        raise ConfigError(
            f"detector.kind={settings.kind} needs the package ultralytics (AGPL-3.0), which is not "
            "installed: pip install ultralytics, or set detector.kind to photos, transformers "
            "(Apache-2.0) or, for boxes of the source, annotation"
        )
    from repic.models.open_clip_checkpoint import OpenClipCheckpoint

    checkpoint = needed_checkpoint(settings, vocabulary=settings.kind == "yoloe")
    if settings.text_encoder is None:
        return describe_model(settings, weights.sha256(find(checkpoint)))
    if settings.kind == "yolo":
        raise ConfigError("detector.text_encoder belongs to yolo-world and yoloe; yolo has none")
    text_encoder = OpenClipCheckpoint.parse(settings.text_encoder).describe()
    return describe_model(settings, weights.sha256(find(checkpoint)), text_encoder)


def load(
    settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str
) -> LetterboxDetector:
    """Load the detector of a YOLO checkpoint.

    Raises:
        ConfigError: the checkpoint is of another kind, or lacks a word of the vocabulary.
        WeightsError: the file does not exist.
    """
    if settings.image_size % STRIDE:
        raise ConfigError(f"detector.image_size must be a multiple of {STRIDE} for YOLO models")
    path = find(settings.checkpoint or "")
    quiet_ultralytics()
    from ultralytics.nn.tasks import load_checkpoint

    device = runtime.prepare()
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} (detector.checkpoint) is not a complete checkpoint")
    try:
        network, _ = load_checkpoint(str(path), device=device, fuse=True)
    except TypeError as error:
        raise WeightsError(
            f"{path} (detector.checkpoint) is not an ultralytics checkpoint: {error}"
        ) from error
    _check_kind(network, settings)
    if settings.kind != "yolo" and settings.vocabulary:
        _set_vocabulary(network, settings, runtime)
    names = tuple(network.names[i] for i in range(len(network.names)))
    classes = _class_indices(names, settings)

    def forward(pixels: torch.Tensor, mask: torch.Tensor) -> list[Candidates]:
        return [
            _candidates(rows, network.model[-1], classes)
            for rows in _predictions(network(pixels)).float()
        ]

    return LetterboxDetector(forward, names, GREY, settings, runtime, fingerprint)


def quiet_ultralytics() -> None:
    """Import ultralytics with telemetry, installs, downloads and pickled code disabled."""
    folder = cache_folder() / "ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        YOLO_CONFIG_DIR=str(folder),
        YOLO_AUTOINSTALL="false",
        YOLO_OFFLINE="true",
        YOLO_VERBOSE="false",
        ULTRALYTICS_SAFE_LOAD="true",
    )
    from ultralytics.utils import SETTINGS

    if SETTINGS["sync"]:
        SETTINGS.update({"sync": False})


def _check_kind(network: Any, settings: DetectorSettings) -> None:
    from ultralytics.nn.tasks import DetectionModel, WorldModel, YOLOEModel

    kind: str | None = None
    if isinstance(network, YOLOEModel):
        kind = "yoloe"
    elif isinstance(network, WorldModel):
        kind = "yolo-world"
    elif isinstance(network, DetectionModel) and network.task in {"detect", "segment"}:
        kind = "yolo"
    if kind is None:
        raise ConfigError(
            f"{settings.checkpoint} does not give axis-aligned boxes; choose a detection model"
        )
    if kind != settings.kind:
        raise ConfigError(f"{settings.checkpoint} is of kind {kind}: set detector.kind={kind}")
    if kind == "yoloe" and hasattr(network.model[-1], "lrpc"):
        raise ConfigError(
            f"{settings.checkpoint} is a prompt-free YOLOE with a fixed vocabulary: choose the "
            "checkpoint of the same name without -pf"
        )


def _set_vocabulary(network: Any, settings: DetectorSettings, runtime: ResolvedRuntime) -> None:
    """Set the classes of an open-vocabulary network to the settings' vocabulary.

    Replaces `set_classes` of either class, with text features from OpenCLIP: the text models of
    ultralytics install packages when they are first imported.
    """
    import torch

    from repic.models.encoder import OpenClipEncoder
    from repic.models.open_clip_checkpoint import OpenClipCheckpoint

    head = network.model[-1]
    text_encoder = WORLD_TEXT
    if settings.kind == "yoloe":
        text_encoder = YOLOE_TEXT[network.yaml.get("text_model", "mobileclip:blt")]
    checkpoint = OpenClipCheckpoint.parse(settings.text_encoder or text_encoder)
    encoder = OpenClipEncoder(checkpoint, runtime)
    vectors = encoder.encode_texts(settings.vocabulary)
    width = network.txt_feats.shape[-1] if settings.kind == "yolo-world" else head.embed
    if vectors.shape[1] != width:
        raise ConfigError(
            f"detector.text_encoder gives vectors of {vectors.shape[1]} numbers, "
            f"{settings.checkpoint} reads {width}"
        )
    features = torch.from_numpy(vectors)[None].to(runtime.device)
    if settings.kind == "yoloe":
        with torch.no_grad():
            network.set_classes(list(settings.vocabulary), head.get_tpe(features).detach())
    else:
        network.txt_feats = features
        head.nc = len(settings.vocabulary)
        network.names = dict(enumerate(settings.vocabulary))


def _class_indices(names: tuple[str, ...], settings: DetectorSettings) -> np.ndarray:
    """Indices of the classes that the settings select."""
    if settings.kind != "yolo" or not settings.vocabulary:
        return np.arange(len(names))
    if unknown := sorted(set(settings.vocabulary) - set(names)):
        raise ConfigError(
            f"{settings.checkpoint} does not know {', '.join(unknown)}; it knows "
            f"{', '.join(names)}. For any other word use detector.kind=yolo-world or yoloe"
        )
    return np.array([i for i, name in enumerate(names) if name in settings.vocabulary])


def _predictions(output: Any) -> torch.Tensor:
    """Decoded predictions: the first item, at any depth of nesting with masks and raw maps."""
    while isinstance(output, tuple):
        output = output[0]
    return output


def _candidates(rows: torch.Tensor, head: Any, wanted: np.ndarray) -> Candidates:
    """Candidates of one photo.

    Args:
        rows: End-to-end heads: (n, >= 6) of xyxy, score, class. Other heads: (>= 4, n) of the box
            as center and size, then a score per class, then mask coefficients.
        wanted: Indices of the classes to return.
    """
    values = rows.cpu().numpy()
    if head.end2end:
        candidates = Candidates(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))
        selected = np.isin(candidates.classes, wanted)
        return Candidates(*(column[selected] for column in candidates))
    center, size = values[:2].T, values[2:4].T
    scores = values[4 : 4 + head.nc][wanted]
    best = scores.argmax(axis=0)
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
    return Candidates(boxes, scores.max(axis=0), wanted[best])


class Yolo:
    """YOLO with the classes that it was trained on."""

    OPEN_VOCABULARY = False
    describe = staticmethod(describe)
    load = staticmethod(load)


class OpenYolo(Yolo):
    """YOLO-World and YOLOE, which look for words."""

    OPEN_VOCABULARY = True
