"""One box per photo around its main object, and what it probably is, by an ImageNet classifier."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.models import grabcut, imagenet_classifier, imagenet_nouns
from repic.models.detectors.base import (
    Candidates,
    Detection,
    Letterbox,
    Noun,
    Padding,
    detect,
    letterbox,
    non_max_suppression,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from repic.config import DetectorSettings
    from repic.models.devices import ResolvedRuntime

LAYOUT = 3
"""Version of the method; a change of the code or its constants invalidates boxes and nouns."""

SIDE = 1024
"""Pixels of the longer side down to which a photo may be reduced: a crop of a fifth of it still has
the pixels that the classifier reads."""
MAP_SIDES = (288, 384)
"""Sides of the letterboxes in which the object is located, pixels: maps of 9 and 12 cells."""
MAP = 96
"""Side of the map over the photo that combines them, cells."""
CLASSES = 5
"""Number of most probable classes whose activation maps are added."""
MARGIN = 0.1
"""Margin of the crop that is classified, as a share of the box's sides."""
EDGE = 9
"""Side of the square by which the object is widened before its background is gray, pixels."""
NOUNS = 5
"""Number of specific and of broad nouns that are kept per object."""
_GRAY = Padding(centered=True, color=(127, 127, 127))


OPEN_VOCABULARY = False


def describe(settings: DetectorSettings) -> dict[str, Any]:
    """JSON that identifies boxes and nouns. Does not import torch."""
    return {
        **imagenet_classifier.describe(),
        "method": LAYOUT,
        "nouns": imagenet_nouns.describe(),
    }


def load(
    settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str
) -> MainObjectDetector:
    """Load the classifier onto its device; see `MainObjectDetector`."""
    return MainObjectDetector(settings, runtime, fingerprint)


@dataclass(frozen=True)
class MainObjectInput:
    """An image, and its letterboxes in squares of `MAP_SIDES`."""

    image: Image.Image
    squares: tuple[np.ndarray, ...]
    boxes: tuple[Letterbox, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size


@dataclass(frozen=True)
class _CutOut:
    """Box of the main object, and the two views of it that are classified."""

    box: np.ndarray
    crop: np.ndarray
    cut: np.ndarray


class MainObjectDetector:
    """One box and one label per photo.

    Class activation maps (Zhou et al., arXiv 1512.04150) give the evidence for a class at each
    position. Those of the most probable classes, weighted by probability, of two scales and of the
    mirrored photo are added; GrabCut cuts out the object that they point to. The classifier then
    names the crop, with and without its background.

    The model was not trained on boxes: it misses a second object, merges objects that touch, and
    follows colours, so that a part in the colours of the background is lost. The confidence is the
    probability of the label among 1000 classes. It rates the label, not the box, and is low for
    objects without an ImageNet class: keep `detector.confidence` at 0 to get a box in every photo.
    """

    def __init__(
        self, settings: DetectorSettings, runtime: ResolvedRuntime, fingerprint: str
    ) -> None:
        import torch

        self.fingerprint = fingerprint
        self.side = SIDE
        self.vocabulary = tuple(dict.fromkeys(imagenet_nouns.nouns()))
        self._settings = settings
        self._runtime = runtime
        self._device = runtime.prepare()
        model: Any = imagenet_classifier.classifier()
        imagenet_classifier.fold_norms(model)
        self._model = model.to(self._device).to(memory_format=torch.channels_last)
        self._weights = self._model.get_classifier().weight.detach().float().cpu().numpy()

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """At most one object per RGB image, in pixels of that image."""
        return detect(self, images, self._runtime.batch_size)

    def prepare(self, image: Image.Image) -> MainObjectInput:
        """The letterboxes in which the main object is located."""
        squares, boxes = zip(*(letterbox(image, side, _GRAY) for side in MAP_SIDES), strict=True)
        return MainObjectInput(image, squares, boxes)

    def detect_prepared(
        self, batches: Iterable[Sequence[MainObjectInput]], pool: Executor
    ) -> Iterator[list[list[Detection]]]:
        """As `detect`; objects are cut out in the pool while the next batch is located."""
        waiting: deque[list[tuple[tuple[int, int], Future[_CutOut]]]] = deque()
        for batch in batches:
            evidence = self._evidence(batch)
            waiting.append(
                [
                    (item.size, pool.submit(_cut_out, item.image, e))
                    for item, e in zip(batch, evidence, strict=True)
                ]
            )
            if len(waiting) > 1:
                yield self._classified(waiting.popleft())
        while waiting:
            yield self._classified(waiting.popleft())

    def _classified(
        self, cutouts: Sequence[tuple[tuple[int, int], Future[_CutOut]]]
    ) -> list[list[Detection]]:
        found = [future.result() for _, future in cutouts]
        if not found:
            return []
        _, of_crop = self._forward_both([cutout.crop for cutout in found])
        _, of_cut = self._forward_both([cutout.cut for cutout in found])
        probabilities = (of_crop + of_cut) / 2
        return [
            self._detections(size, cutout.box, p)
            for (size, _), cutout, p in zip(cutouts, found, probabilities, strict=True)
        ]

    def _detections(
        self, size: tuple[int, int], box: np.ndarray, probabilities: np.ndarray
    ) -> list[Detection]:
        specific = imagenet_nouns.sums_of(probabilities, imagenet_nouns.nouns())[:NOUNS]
        broad = imagenet_nouns.sums_of(probabilities, imagenet_nouns.broader())[:NOUNS]
        nouns = [Noun(text, round(value, 4), False) for text, value in specific]
        nouns += [Noun(text, round(value, 4), True) for text, value in broad]
        label, score = specific[0]
        candidate = Candidates(
            box[None], np.array([score]), np.array([self.vocabulary.index(label)])
        )
        found = non_max_suppression(candidate, size, self.vocabulary, self._settings)
        return [Detection(d.box, d.label, d.confidence, tuple(nouns)) for d in found]

    def _evidence(self, batch: Sequence[MainObjectInput]) -> list[np.ndarray]:
        """Where the main object of each image is: a map over it, float32 (MAP, MAP)."""
        import cv2

        maps = [np.zeros((MAP, MAP), np.float32) for _ in batch]
        for k, side in enumerate(MAP_SIDES if batch else ()):
            features, probabilities = self._forward_both([item.squares[k] for item in batch])
            for i, item in enumerate(batch):
                activation = self._activation(features[i], probabilities[i])
                square = cv2.resize(activation, (side, side))
                inside = _inside(square, item.boxes[k], item.size)
                maps[i] += grabcut.normalized(cv2.resize(inside, (MAP, MAP)))
        return maps

    def _activation(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Evidence for the most probable classes, float32 (h, w), from features (c, h, w)."""
        top = np.argsort(-probabilities, kind="stable")[:CLASSES]
        mixed = (self._weights[top] * probabilities[top, None]).sum(axis=0)
        evidence: np.ndarray = np.tensordot(mixed, features, axes=1)
        return evidence

    def _forward_both(self, squares: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean over each image and its mirror image.

        Args:
            squares: uint8 (side, side, 3) images, at most one batch.

        Returns:
            Features (n, c, h, w) in the orientation of the image, and probabilities of the mean
            logits (n, 1000), both float32.
        """
        features, logits = self._forward(squares)
        mirrored, mirrored_logits = self._forward([square[:, ::-1] for square in squares])
        mean = (logits + mirrored_logits) / 2
        powers = np.exp(mean - mean.max(axis=1, keepdims=True))
        return (features + mirrored[..., ::-1]) / 2, powers / powers.sum(axis=1, keepdims=True)

    def _forward(self, squares: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        with self._runtime.inference():
            features = self._model.forward_features(self._pixels(squares))
            logits = self._model.forward_head(features)
        count = len(squares)
        return features[:count].float().cpu().numpy(), logits[:count].float().cpu().numpy()

    def _pixels(self, squares: Sequence[np.ndarray]) -> torch.Tensor:
        """Pad images to a full batch, float32 in [-1, 1] on the device."""
        import torch

        pixels = np.zeros((self._runtime.batch_size, *squares[0].shape), dtype=np.uint8)
        pixels[: len(squares)] = squares
        # The permuted view is channels-last, which is faster for this model.
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device).float() / 127.5 - 1


def _inside(square: np.ndarray, box: Letterbox, size: tuple[int, int]) -> np.ndarray:
    """The part of a letterbox (side, side) that shows the image."""
    width, height = max(1, round(box.scale_x * size[0])), max(1, round(box.scale_y * size[1]))
    return square[box.top : box.top + height, box.left : box.left + width]


def _cut_out(image: Image.Image, evidence: np.ndarray) -> _CutOut:
    cutout = grabcut.main_object(image, evidence)
    return _CutOut(cutout.box, *_views(image, cutout))


def _views(image: Image.Image, cutout: grabcut.Cutout) -> tuple[np.ndarray, np.ndarray]:
    """The crop of the box, and the same with a gray background, uint8 (side, side, 3) each."""
    import cv2
    from PIL import Image

    side = imagenet_classifier.SIDE
    area = _with_margin(cutout.box, image.size)
    crop = np.asarray(image.crop(area).resize((side, side), Image.Resampling.BILINEAR))
    height, width = cutout.mask.shape
    x, y = width / image.width, height / image.height
    left, top, right, bottom = area
    mask = Image.fromarray(cutout.mask.astype(np.uint8) * 255)
    mask = mask.resize(
        (side, side), Image.Resampling.BILINEAR, (left * x, top * y, right * x, bottom * y)
    )
    near = cv2.dilate(np.asarray(mask), np.ones((EDGE, EDGE), np.uint8)) > 127
    return crop, np.where(near[..., None], crop, np.uint8(_GRAY.color[0]))


def _with_margin(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The smallest box with integer bounds that contains a box and its margin, in the image."""
    margin = MARGIN * np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    left, top, right, bottom = np.clip(box + margin, 0, [*size, *size]).tolist()
    return int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))
