"""Ultralytics YOLO, YOLO-World and YOLOE, with ultralytics kept to what is asked of it.

No telemetry, no package installed while running, no look at the network, and checkpoints read
without running code that they carry. The network of a checkpoint is used directly: ultralytics'
own predictor gives up on suppression after a time limit, which makes results depend on load.

Ultralytics is AGPL-3.0; so is what links to it.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.config import cache_folder
from repic.errors import ConfigError, WeightsError
from repic.models import shipped, weights
from repic.models.detectors.base import Candidates, Padding, SquareDetector

if TYPE_CHECKING:
    import torch

    from repic.config import DetectorSettings
    from repic.models.devices import Placement

STRIDE = 32
GREY = Padding(centred=True, colour=(114, 114, 114))

WORLD_TEXT = "ViT-B-32-quickgelu:openai"
YOLOE_TEXT = {
    "mobileclip:blt": "MobileCLIP-B:datacompdr_lt",
    "mobileclip2:b": "MobileCLIP2-B:dfndr2b",
}
"""OpenCLIP's name of the text encoder that a YOLOE checkpoint says it learned with."""


def find(checkpoint: str) -> Path:
    """The file of a YOLO checkpoint, `sample` for the one of the generated world.

    Never downloaded, since its hash is part of a fingerprint.

    Raises:
        WeightsError: there is no such file.
    """
    if checkpoint == shipped.NAME:
        return shipped.detector_file()
    return weights.find(
        checkpoint,
        "detector.checkpoint",
        "Ultralytics publishes its own among the release files of its `assets` repository.",
    )


def load(settings: DetectorSettings, placement: Placement, fingerprint: str) -> SquareDetector:
    """The detector of a YOLO checkpoint.

    Raises:
        ConfigError: the checkpoint is of another kind, or does not know what is asked of it.
        WeightsError: there is no such file.
    """
    if settings.image_size % STRIDE:
        raise ConfigError(f"detector.image_size must be a multiple of {STRIDE} for YOLO models")
    path = find(settings.checkpoint or "")
    quiet_ultralytics()
    from ultralytics.nn.tasks import load_checkpoint

    device = placement.prepare()
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} (detector.checkpoint) is no checkpoint, or a part of one")
    try:
        network, _ = load_checkpoint(str(path), device=device, fuse=True)
    except TypeError as error:
        raise WeightsError(
            f"{path} (detector.checkpoint) is no checkpoint of ultralytics: {error}"
        ) from error
    _check_kind(network, settings)
    if settings.kind != "yolo" and settings.vocabulary:
        _set_vocabulary(network, settings, placement)
    names = tuple(network.names[i] for i in range(len(network.names)))
    wanted = _wanted(names, settings)

    def forward(pixels: torch.Tensor, mask: torch.Tensor) -> list[Candidates]:
        return [_read(rows, network.model[-1], wanted) for rows in _first(network(pixels)).float()]

    return SquareDetector(forward, names, GREY, settings, placement, fingerprint)


def quiet_ultralytics() -> None:
    """Import ultralytics with its telemetry, installs, downloads and pickled code turned off."""
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
        raise ConfigError(f"{settings.checkpoint} gives no upright boxes; choose a detection model")
    if kind != settings.kind:
        raise ConfigError(f"{settings.checkpoint} is of kind {kind}: set detector.kind={kind}")
    if kind == "yoloe" and hasattr(network.model[-1], "lrpc"):
        raise ConfigError(
            f"{settings.checkpoint} is a prompt-free YOLOE, whose words are fixed: choose the "
            "checkpoint of the same name without -pf"
        )


def _set_vocabulary(network: Any, settings: DetectorSettings, placement: Placement) -> None:
    """Make the network look for the settings' words.

    What `set_classes` of either class does, but with text features by OpenCLIP: ultralytics' own
    text models install packages when they are first imported.
    """
    import torch

    from repic.models.encoder import Checkpoint, OpenClipEncoder

    head = network.model[-1]
    own = WORLD_TEXT
    if settings.kind == "yoloe":
        own = YOLOE_TEXT[network.yaml.get("text_model", "mobileclip:blt")]
    encoder = OpenClipEncoder(Checkpoint.parse(settings.text_encoder or own), placement)
    vectors = encoder.encode_texts(settings.vocabulary)
    width = network.txt_feats.shape[-1] if settings.kind == "yolo-world" else head.embed
    if vectors.shape[1] != width:
        raise ConfigError(
            f"detector.text_encoder gives vectors of {vectors.shape[1]} numbers, "
            f"{settings.checkpoint} reads {width}"
        )
    features = torch.from_numpy(vectors)[None].to(placement.device)
    if settings.kind == "yoloe":
        with torch.no_grad():
            network.set_classes(list(settings.vocabulary), head.get_tpe(features).detach())
    else:
        network.txt_feats = features
        head.nc = len(settings.vocabulary)
        network.names = dict(enumerate(settings.vocabulary))


def _wanted(names: tuple[str, ...], settings: DetectorSettings) -> np.ndarray:
    """Places in the network's names of what is asked for."""
    if settings.kind != "yolo" or not settings.vocabulary:
        return np.arange(len(names))
    if unknown := sorted(set(settings.vocabulary) - set(names)):
        raise ConfigError(
            f"{settings.checkpoint} does not know {', '.join(unknown)}; it knows "
            f"{', '.join(names)}. For any other word use detector.kind=yolo-world or yoloe"
        )
    return np.array([i for i, name in enumerate(names) if name in settings.vocabulary])


def _first(output: Any) -> torch.Tensor:
    """Decoded predictions; they come first, however deep masks and raw maps nest them."""
    while isinstance(output, tuple):
        output = output[0]
    return output


def _read(rows: torch.Tensor, head: Any, wanted: np.ndarray) -> Candidates:
    """Candidates of one photo.

    Args:
        rows: End-to-end heads: (n, 6 or more) of xyxy, score, class. Others: (4 or more, n) of the
            box as centre and size, then a score per class, then mask coefficients.
    """
    values = rows.cpu().numpy()
    if head.end2end:
        found = Candidates(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))
        asked = np.isin(found.classes, wanted)
        return Candidates(*(column[asked] for column in found))
    centre, size = values[:2].T, values[2:4].T
    scores = values[4 : 4 + head.nc][wanted]
    best = scores.argmax(axis=0)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return Candidates(boxes, scores.max(axis=0), wanted[best])
