"""Parts that detectors share: letterboxing, fixed batches, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from PIL import Image

from repic.errors import ConfigError
from repic.images.coordinates import Box
from repic.models.devices import batched

if TYPE_CHECKING:
    import torch

    from repic.config import DetectorSettings
    from repic.models.devices import ResolvedRuntime

MAX_CANDIDATES = 1000
"""Candidates per photo, by confidence; suppression compares all pairs."""


class Noun(NamedTuple):
    """A noun for an object, and the probability that it is true.

    Attributes:
        broad: Whether it stands for several labels, as dog does for all breeds.
    """

    text: str
    probability: float
    broad: bool


@dataclass(frozen=True)
class Detection:
    """One object in a photo.

    Attributes:
        nouns: For a detector that estimates probabilities: the likely nouns. Empty for one that
            gives a label only where it is sure.
        identity: This and all below are given by annotations only.
    """

    box: Box
    label: str
    confidence: float
    nouns: tuple[Noun, ...] = ()
    identity: str | None = None
    expressions: tuple[str, ...] = ()
    truncated: bool | None = None
    occluded: bool | None = None


class Prepared(Protocol):
    """What a detector reads of an image; `size` is that of the image, (width, height)."""

    @property
    def size(self) -> tuple[int, int]: ...


P = TypeVar("P", bound=Prepared)


class Detector(Protocol[P]):
    """Finds objects in photos.

    Attributes:
        fingerprint: Hash of weights, settings and runtime.
        vocabulary: Labels that the detector can give.
        side: Pixels of the longer side down to which a photo may be reduced before it is prepared.
    """

    fingerprint: str
    vocabulary: tuple[str, ...]
    side: int

    def prepare(self, image: Image.Image) -> P:
        """What the model reads of an RGB image. Any thread may call it."""
        ...

    def detect_prepared(
        self, batches: Iterable[Sequence[P]], pool: Executor
    ) -> Iterator[list[list[Detection]]]:
        """Objects of each image of each batch (at most `batch_size`), as those of `detect`.

        The model runs in the thread of the caller. Steps without it may run in the pool while the
        model is at the next batch, so that results come up to one batch late.
        """
        ...

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """Objects of each RGB image by descending confidence; boxes in pixels of that image."""
        ...


def detect(
    detector: Detector[P], images: Sequence[Image.Image], batch_size: int
) -> list[list[Detection]]:
    """`Detector.detect` by its other methods."""
    batches = (
        [detector.prepare(image) for image in batch] for batch in batched(images, batch_size)
    )
    with ThreadPoolExecutor(1) as pool:
        return [found for batch in detector.detect_prepared(batches, pool) for found in batch]


def describe_model(
    settings: DetectorSettings, checkpoint: Any, text_encoder: Any = None
) -> dict[str, Any]:
    """JSON of a model that reads letterboxed photos, for `describe` of its kind.

    Args:
        checkpoint: Hash or name of its weights.
        text_encoder: The same of the encoder of its vocabulary, if it has one.
    """
    return {
        "checkpoint": checkpoint,
        "text_encoder": text_encoder,
        "vocabulary": list(settings.vocabulary),
        "image_size": settings.image_size,
        "iou": settings.iou,
    }


def needed_checkpoint(settings: DetectorSettings, vocabulary: bool) -> str:
    """The checkpoint of the settings.

    Args:
        vocabulary: Whether a vocabulary is needed as well.

    Raises:
        ConfigError: the checkpoint or the vocabulary is missing.
    """
    if not settings.checkpoint:
        raise ConfigError(f"detector.kind={settings.kind} needs a detector.checkpoint")
    if vocabulary and not settings.vocabulary:
        raise ConfigError(f"detector.kind={settings.kind} needs a detector.vocabulary to look for")
    return settings.checkpoint


class Candidates(NamedTuple):
    """Raw detections of one photo, before thresholds and suppression.

    Attributes:
        boxes: float (n, 4), xyxy.
        scores: float (n,), each in [0, 1].
        classes: int (n,), indices into the vocabulary.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Padding:
    """Padding of a letterbox.

    Attributes:
        centered: Whether the photo is centered; otherwise it is at the top left.
        color: RGB, 0 to 255.
    """

    centered: bool
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Letterbox:
    """Position of a photo in its square: scale, and offset of the top left corner in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def restore(self, boxes: np.ndarray) -> np.ndarray:
        """Convert boxes (n, 4) from pixels of the square to pixels of the photo, float64."""
        offset = np.array([self.left, self.top] * 2, dtype=np.float64)
        return (boxes.astype(np.float64) - offset) / np.array([self.scale_x, self.scale_y] * 2)


def letterbox(image: Image.Image, size: int, padding: Padding) -> tuple[np.ndarray, Letterbox]:
    """Scale a photo to fit a square of `size` pixels and pad it; uint8 (size, size, 3)."""
    ratio = size / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    left, top = ((size - width) // 2, (size - height) // 2) if padding.centered else (0, 0)
    square = Image.new("RGB", (size, size), padding.color)
    square.paste(
        image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), (left, top)
    )
    return np.asarray(square), Letterbox(width / image.width, height / image.height, left, top)


def non_max_suppression(
    candidates: Candidates,
    size: tuple[int, int],
    vocabulary: Sequence[str],
    settings: DetectorSettings,
) -> list[Detection]:
    """Apply thresholds and per-class non-maximum suppression to the candidates of one photo.

    Boxes are first clipped to the photo and rounded to 0.01 pixels, confidences to 4 decimals, so
    that thresholds apply to the values that are stored. Of boxes with the same label whose IoU
    exceeds `settings.iou`, the one with the highest confidence is kept.
    """
    import torch
    from torchvision.ops import batched_nms

    width, height = size
    limit = np.array([width, height, width, height], dtype=np.float64)
    boxes = np.clip(candidates.boxes.astype(np.float64), 0, limit).round(2)
    scores = candidates.scores.astype(np.float64).round(4)
    sides = boxes[:, 2:] - boxes[:, :2]
    valid = (
        (sides > 0).all(axis=1)
        & (sides.prod(axis=1) >= settings.min_area_share * width * height)
        & (scores >= settings.confidence)
    )
    boxes, scores, classes = boxes[valid], scores[valid], candidates.classes[valid]
    order = np.lexsort((classes, *boxes.T[::-1], -scores))[:MAX_CANDIDATES]
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


class Letterboxed(NamedTuple):
    """An image in its square, uint8 (side, side, 3), and its own size."""

    square: np.ndarray
    box: Letterbox
    size: tuple[int, int]


class LetterboxDetector:
    """Runs a model on letterboxed photos in batches of one fixed size.

    Args:
        forward: Maps images, float32 (batch, 3, size, size) in [0, 1] on the device, and a mask of
            the pixels that are not padding, bool (batch, size, size), to the candidates of each
            image in pixels of its square.
    """

    def __init__(
        self,
        forward: Callable[[torch.Tensor, torch.Tensor], list[Candidates]],
        vocabulary: tuple[str, ...],
        padding: Padding,
        settings: DetectorSettings,
        runtime: ResolvedRuntime,
        fingerprint: str,
    ) -> None:
        self.fingerprint = fingerprint
        self.vocabulary = vocabulary
        self.side = 2 * settings.image_size  # more would hardly change the letterbox
        self._forward = forward
        self._padding = padding
        self._settings = settings
        self._runtime = runtime

    def detect(self, images: Sequence[Image.Image]) -> list[list[Detection]]:
        """Objects of each image; see `Detector.detect`."""
        return detect(self, images, self._runtime.batch_size)

    def prepare(self, image: Image.Image) -> Letterboxed:
        """The letterbox of an image."""
        return Letterboxed(*letterbox(image, self._settings.image_size, self._padding), image.size)

    def detect_prepared(
        self, batches: Iterable[Sequence[Letterboxed]], pool: Executor
    ) -> Iterator[list[list[Detection]]]:
        """Objects of each image; see `Detector.detect_prepared`."""
        for batch in batches:
            with self._runtime.inference():
                candidates = self._forward(*self._stacked(batch))
            yield [
                non_max_suppression(
                    Candidates(image.box.restore(boxes), scores, classes),
                    image.size,
                    self.vocabulary,
                    self._settings,
                )
                for image, (boxes, scores, classes) in zip(batch, candidates, strict=False)
            ]

    def _stacked(self, images: Sequence[Letterboxed]) -> tuple[torch.Tensor, torch.Tensor]:
        """Squares and masks of images, padded to a full batch, on the device."""
        import torch

        size, count = self._settings.image_size, self._runtime.batch_size
        pixels = np.zeros((count, size, size, 3), dtype=np.uint8)
        mask = np.ones((count, size, size), dtype=bool)
        for i, (square, box, (width, height)) in enumerate(images):
            pixels[i] = square
            mask[i] = False
            bottom = box.top + round(box.scale_y * height)
            right = box.left + round(box.scale_x * width)
            mask[i, box.top : bottom, box.left : right] = True
        tensor = torch.from_numpy(pixels).to(self._runtime.device).permute(0, 3, 1, 2)
        return tensor.float() / 255, torch.from_numpy(mask).to(self._runtime.device)
