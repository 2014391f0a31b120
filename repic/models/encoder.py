"""Vectors of pictures and texts, by any OpenCLIP model.

`architecture` and `pretrained` are OpenCLIP's own names: `ViT-B-32` and `openai`, say. A model of
one's own is a folder in OpenCLIP's layout: `pretrained=local-dir:FOLDER` (the folder then names its
architecture itself); `hf-hub:ORG/NAME` is its counterpart on the hub. Two architectures come with
the package: `photos` is the ImageNet encoder of `imagenet_classifier`, `sample` knows the
generated world.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from repic.config import LOCAL
from repic.errors import ConfigError, WeightsError
from repic.models import imagenet_classifier, shipped, weights
from repic.models.devices import Placement
from storage.hashing import fingerprint

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from repic.config import EncoderSettings, RuntimeSettings

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""float32 of shape (n, dim); every row has unit length."""

FOLDER, HUB = LOCAL, "hf-hub:"


class Encoder(Protocol):
    """Turns pictures, and where it learned from captions also texts, into vectors."""

    fingerprint: str
    dim: int

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors: ...

    def prepare(self, image: Image.Image) -> torch.Tensor: ...

    def encode_prepared(self, prepared: Sequence[torch.Tensor]) -> Vectors: ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True)
class Checkpoint:
    """Which OpenCLIP weights: an architecture and a tag, or a place that holds both.

    Attributes:
        model: OpenCLIP's model name; with a `local-dir:` or `hf-hub:` prefix there is no tag.
        tag: OpenCLIP's name of the weights, or the path of a file.
        reads_text: False where the text tower is untrained.
    """

    model: str
    tag: str | None
    reads_text: bool = True

    @classmethod
    def of(cls, settings: EncoderSettings) -> Checkpoint:
        """The checkpoint that settings name.

        Raises:
            ConfigError: an architecture without weights, or weights for one that has its own.
        """
        if settings.pretrained.startswith((FOLDER, HUB)):
            return cls(settings.pretrained, None)
        if settings.architecture in (imagenet_classifier.NAME, shipped.NAME):
            if settings.pretrained:
                raise ConfigError(
                    f"encoder.pretrained={settings.pretrained} needs the encoder.architecture "
                    f"that it belongs to; {settings.architecture} has weights of its own"
                )
            if settings.architecture == shipped.NAME:
                return cls(f"{FOLDER}{shipped.encoder_folder()}", None)
            return cls(f"{FOLDER}{imagenet_classifier.model_folder()}", None, reads_text=False)
        if not settings.pretrained:
            raise ConfigError(
                f"encoder.pretrained is empty: name the weights of {settings.architecture} "
                "(`open_clip.list_pretrained()` lists them)"
            )
        return cls(settings.architecture, settings.pretrained)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of an `ARCHITECTURE:TAG`, `local-dir:FOLDER` or `hf-hub:ORG/NAME`.

        Raises:
            ConfigError: it is none of these.
        """
        if text.startswith((FOLDER, HUB)):
            return cls(text, None)
        model, colon, tag = text.partition(":")
        if not (colon and model and tag):
            raise ConfigError(f"{text!r} is not ARCHITECTURE:TAG, local-dir:FOLDER or hf-hub:NAME")
        return cls(model, tag)

    def describe(self) -> dict[str, Any]:
        """JSON that stands for the weights: hashes of local files, names of published ones."""
        described: dict[str, Any] = {"library": "open_clip", "model": self.model, "tag": self.tag}
        if self.model.startswith(FOLDER):
            folder = Path(self.model.removeprefix(FOLDER)).expanduser()
            described |= {"model": FOLDER, "sha256": weights.sha256_of_folder(folder)}
        elif self.tag and Path(self.tag).is_file():
            described |= {"tag": "file", "sha256": weights.sha256(Path(self.tag))}
        return described


def describe(settings: EncoderSettings, runtime: RuntimeSettings) -> dict[str, Any]:
    """JSON of all that can change a vector. Imports no torch."""
    if settings.architecture == imagenet_classifier.NAME and not settings.pretrained:
        model = imagenet_classifier.describe()
    else:
        model = Checkpoint.of(settings).describe()
    return {"model": model, **Placement.of(runtime).describe()}


def reads_texts(settings: EncoderSettings) -> bool:
    """Whether the encoder has learned texts too. Loads nothing."""
    return bool(settings.pretrained) or settings.architecture != imagenet_classifier.NAME


def load(settings: EncoderSettings, runtime: RuntimeSettings) -> OpenClipEncoder:
    """The encoder, ready on its device.

    Raises:
        ConfigError: the settings name no weights.
        WeightsError: the weights are not there.
        DeviceError: the device cannot be used.
    """
    return OpenClipEncoder(
        Checkpoint.of(settings), Placement.of(runtime), fingerprint(describe(settings, runtime))
    )


class OpenClipEncoder:
    """An OpenCLIP model. A vector depends on its own picture or text only, bit for bit:
    every batch has the same shape, the last one is padded."""

    def __init__(self, checkpoint: Checkpoint, placement: Placement, fingerprint: str = "") -> None:
        import torch

        self.fingerprint = fingerprint
        self._checkpoint = checkpoint
        self._placement = placement
        self._device = placement.prepare()
        model, self._preprocess = _create(checkpoint)
        self._model = model.eval().to(self._device, memory_format=torch.channels_last)
        self._tokenizer: Callable[[list[str]], torch.Tensor] | None = None
        self.dim = self._encode(self._model.encode_image, self._blank_images()).shape[1]

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Vectors of RGB pictures of any size, shape (n, dim)."""
        import torch

        return self._in_batches(
            images,
            self._model.encode_image,
            lambda batch: torch.stack([self._preprocess(image) for image in batch]),
        )

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """What the model sees of an RGB picture of any size, float32 (3, side, side)."""
        return self._preprocess(image)

    def encode_prepared(self, prepared: Sequence[torch.Tensor]) -> Vectors:
        """As `encode_images`, of what `prepare` gave: nobody need hold the pictures meanwhile."""
        import torch

        return self._in_batches(prepared, self._model.encode_image, torch.stack)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, shape (n, dim); comparable with those of pictures.

        Raises:
            ConfigError: the model has never seen a text.
        """
        import open_clip

        if not self._checkpoint.reads_text:
            raise ConfigError(
                "the photos encoder learned from ImageNet's classes and cannot read texts: choose "
                "an OpenCLIP model, for example encoder.architecture=ViT-B-32 and "
                "encoder.pretrained=openai"
            )
        if self._tokenizer is None:
            self._tokenizer = open_clip.get_tokenizer(self._checkpoint.model)
        return self._in_batches(texts, self._model.encode_text, self._tokenizer)

    def _in_batches(
        self,
        items: Sequence[Any],
        encode: Callable[..., torch.Tensor],
        to_tensor: Callable[[list[Any]], torch.Tensor],
    ) -> Vectors:
        size = self._placement.batch_size
        vectors = np.empty((len(items), self.dim), dtype=np.float32)
        for start in range(0, len(items), size):
            tensor = to_tensor(list(items[start : start + size]))
            count = len(tensor)
            padded = tensor.new_zeros((size, *tensor.shape[1:]))
            padded[:count] = tensor
            vectors[start : start + count] = self._encode(encode, padded)[:count]
        return vectors

    def _encode(self, encode: Callable[..., torch.Tensor], batch: torch.Tensor) -> Vectors:
        import torch
        import torch.nn.functional as F

        batch = batch.to(self._device)
        if batch.ndim == 4:
            batch = batch.to(memory_format=torch.channels_last)
        with self._placement.inference():
            features = encode(batch)
        return F.normalize(features.float(), dim=-1).cpu().numpy()

    def _blank_images(self) -> torch.Tensor:
        from PIL import Image

        return self._preprocess(Image.new("RGB", (64, 64)))[None]


def _create(checkpoint: Checkpoint) -> tuple[Any, Callable[[Image.Image], torch.Tensor]]:
    import open_clip

    if checkpoint.model.startswith(FOLDER):
        weights.sha256_of_folder(Path(checkpoint.model.removeprefix(FOLDER)))
    try:
        return open_clip.create_model_from_pretrained(checkpoint.model, checkpoint.tag)
    except RuntimeError as error:
        raise WeightsError(
            f"OpenCLIP cannot load {checkpoint.model} {checkpoint.tag or ''}: {error}. Without a "
            "network, give a folder that holds open_clip_config.json and the weights: "
            f"{FOLDER}FOLDER"
        ) from error
