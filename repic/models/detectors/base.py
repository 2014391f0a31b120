"""What detectors share: the square a photo is put in, the batch, and which boxes are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image

from repic.images.coordinates import Box
from repic.models.devices import batched

if TYPE_CHECKING:
    import torch

    from repic.config import DetectorSettings
    from repic.models.devices import Placement

MOST_CANDIDATES = 1000
"""Of one photo, by confidence; suppression compares each with each."""


@dataclass(frozen=True)
class Detection:
    """One object in a photo; the last four fields only an annotation can know."""

    box: Box
    label: str
    confidence: float
    identity: str | None = None
    expressions: tuple[str, ...] = ()
    truncated: bool | None = None
    occluded: bool | None = None


class Detector(Protocol):
    """Finds objects; boxes are in pixels of each given picture, the surest first."""

    fingerprint: str
    vocabulary: tuple[str, ...]

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]: ...


class Candidates(NamedTuple):
    """What a model says about one photo, before anything is dropped.

    Attributes:
        boxes: float (n, 4), xyxy.
        scores: float (n,), each in [0, 1].
        classes: int (n,), places in the vocabulary.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Padding:
    """How a photo is put into a square: in the middle or the top left, on which colour."""

    centred: bool
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Frame:
    """Where a photo lies in its square: pixels per pixel, and the offset of its top left corner."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def restore(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the square, shape (n, 4), as boxes of the photo; float64."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float64)
        return (boxes.astype(np.float64) - offset) / np.array([self.scale_x, self.scale_y] * 2)


def fit(image: Image.Image, size: int, padding: Padding) -> tuple[np.ndarray, Frame]:
    """The photo scaled to fit into a square of `size`, padded; uint8 (size, size, 3)."""
    ratio = size / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    left, top = ((size - width) // 2, (size - height) // 2) if padding.centred else (0, 0)
    square = Image.new("RGB", (size, size), padding.colour)
    square.paste(
        image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), (left, top)
    )
    return np.asarray(square), Frame(width / image.width, height / image.height, left, top)


def keep(
    found: Candidates,
    image: Image.Image,
    vocabulary: Sequence[str],
    settings: DetectorSettings,
) -> list[Detection]:
    """The candidates worth keeping: inside the photo, sure and large enough, no doubles.

    Boxes are clipped to the photo and rounded to 0.01 pixels, confidences to 4 decimals, all before
    any threshold, so that what is written is also what was decided by. Of boxes with one label that
    overlap by more than `settings.iou` the surest stays.
    """
    import torch
    from torchvision.ops import batched_nms

    width, height = image.size
    limit = np.array([width, height, width, height], dtype=np.float64)
    boxes = np.clip(found.boxes.astype(np.float64), 0, limit).round(2)
    scores = found.scores.astype(np.float64).round(4)
    sides = boxes[:, 2:] - boxes[:, :2]
    good = (
        (sides > 0).all(axis=1)
        & (sides.prod(axis=1) >= settings.min_area_share * width * height)
        & (scores >= settings.confidence)
    )
    boxes, scores, classes = boxes[good], scores[good], found.classes[good]
    order = np.lexsort((classes, *boxes.T[::-1], -scores))[:MOST_CANDIDATES]
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    kept = batched_nms(
        torch.from_numpy(boxes),
        torch.from_numpy(scores),
        torch.from_numpy(classes.astype(np.int64)),
        settings.iou,
    )
    return [
        Detection(Box.of(boxes[i]), vocabulary[classes[i]], float(scores[i]))
        for i in sorted(kept.tolist())[: settings.max_objects]
    ]


class SquareDetector:
    """A model that sees each photo in one fixed square, in batches of one fixed size.

    Args:
        forward: From pictures, float32 (batch, 3, size, size) in [0, 1] on the device, and a mask,
            bool (batch, size, size), of where the photos are, to the candidates of each in pixels
            of its square.
    """

    def __init__(
        self,
        forward: Callable[[torch.Tensor, torch.Tensor], list[Candidates]],
        vocabulary: tuple[str, ...],
        padding: Padding,
        settings: DetectorSettings,
        placement: Placement,
        fingerprint: str,
    ) -> None:
        self.fingerprint = fingerprint
        self.vocabulary = vocabulary
        self._forward = forward
        self._padding = padding
        self._settings = settings
        self._placement = placement

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """The objects of each picture."""
        found: list[list[Detection]] = []
        for batch in batched(images, self._placement.batch_size):
            pixels, mask, frames = self._squares(batch)
            with self._placement.inference():
                candidates = self._forward(pixels, mask)
            for image, frame, (boxes, scores, classes) in zip(
                batch, frames, candidates, strict=False
            ):
                restored = Candidates(frame.restore(boxes), scores, classes)
                found.append(keep(restored, image, self.vocabulary, self._settings))
        return found

    def _squares(
        self, images: Sequence[Image.Image]
    ) -> tuple[torch.Tensor, torch.Tensor, list[Frame]]:
        import torch

        size, count = self._settings.image_size, self._placement.batch_size
        pixels = np.zeros((count, size, size, 3), dtype=np.uint8)
        mask = np.ones((count, size, size), dtype=bool)
        frames = []
        for i, image in enumerate(images):
            pixels[i], frame = fit(image, size, self._padding)
            mask[i] = False
            bottom = frame.top + round(frame.scale_y * image.height)
            right = frame.left + round(frame.scale_x * image.width)
            mask[i, frame.top : bottom, frame.left : right] = True
            frames.append(frame)
        tensor = torch.from_numpy(pixels).to(self._placement.device).permute(0, 3, 1, 2)
        return tensor.float() / 255, torch.from_numpy(mask).to(self._placement.device), frames
