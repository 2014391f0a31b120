"""Embeddings of images and texts by OpenCLIP models.

`architecture` and `pretrained` are OpenCLIP's names, for example `ViT-B-32` and `openai`.
`pretrained=TAG:FILE` reads the weights of a tag from a file. `pretrained=local-dir:FOLDER` and
`pretrained=hf-hub:ORG/NAME` name a model in OpenCLIP's layout, which defines its architecture. The
package ships two architectures: `photos`, the ImageNet encoder of `imagenet_classifier`, and
`sample`, trained on the generated world.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from repic.config import plugins
from repic.errors import ConfigError
from repic.models import imagenet_classifier
from repic.models.devices import ResolvedRuntime
from repic.models.open_clip_checkpoint import OpenClipCheckpoint, create
from storage.hashing import fingerprint

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from repic.config import EncoderSettings, RuntimeSettings

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""float32 of shape (n, dim); every row has unit length."""


class Encoder(Protocol):
    """Embeds images, and texts if it was trained on them; see `OpenClipEncoder`.

    Attributes:
        fingerprint: Hash of weights and runtime.
        dim: Length of a vector.
        side: Pixels of the longer side of what the model reads of an image.
    """

    fingerprint: str
    dim: int
    side: int

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors: ...

    def prepare(self, image: Image.Image) -> torch.Tensor: ...

    def encode_prepared(self, prepared: Sequence[torch.Tensor]) -> Vectors: ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors: ...


def describe(settings: EncoderSettings, runtime: RuntimeSettings) -> dict[str, Any]:
    """JSON of everything that can change a vector, for the fingerprint. Does not import torch.

    Raises:
        PluginError: the encoder is of a plug-in that cannot be used.
    """
    found = {
        "model": _family(settings).describe(settings),
        **ResolvedRuntime.of(runtime).describe(),
    }
    name = settings.architecture
    if plugins.is_plugin("encoders", name):
        found |= plugins.described("encoders", name, settings.of_plugin(name))
    return found


def reads_texts(settings: EncoderSettings) -> bool:
    """Whether the encoder also embeds texts. Does not load it."""
    return bool(_family(settings).reads_texts(settings))


def load(settings: EncoderSettings, runtime: RuntimeSettings) -> Encoder:
    """Load the encoder onto its device.

    Raises:
        ConfigError: the settings name no weights.
        WeightsError: the weights do not exist.
        DeviceError: the device cannot be used.
        PluginError: the encoder is of a plug-in that cannot be used.
    """
    resolved, name = ResolvedRuntime.of(runtime), fingerprint(describe(settings, runtime))
    encoder: Encoder = _family(settings).load(settings, resolved, name)
    return encoder


def _family(settings: EncoderSettings) -> Any:
    """What loads an architecture: of ours or of a plug-in, or else of OpenCLIP."""
    name = settings.architecture
    return plugins.load("encoders", name) if plugins.has("encoders", name) else OpenClip


class OpenClip:
    """The models of OpenCLIP, and those in its layout, which we ship."""

    @staticmethod
    def describe(settings: EncoderSettings) -> dict[str, Any]:
        """JSON that identifies the weights."""
        if not OpenClip.reads_texts(settings):
            return imagenet_classifier.describe()
        return OpenClipCheckpoint.of(settings).describe()

    @staticmethod
    def reads_texts(settings: EncoderSettings) -> bool:
        """Whether it was trained on texts as well."""
        return bool(settings.pretrained) or settings.architecture != imagenet_classifier.NAME

    @staticmethod
    def load(
        settings: EncoderSettings, runtime: ResolvedRuntime, fingerprint: str
    ) -> OpenClipEncoder:
        """Load the weights onto their device."""
        return OpenClipEncoder(OpenClipCheckpoint.of(settings), runtime, fingerprint)


class OpenClipEncoder:
    """An OpenCLIP model that runs in batches of one fixed shape.

    The last batch is padded, so that a vector depends on its own image or text only, bit for bit.
    """

    def __init__(
        self, checkpoint: OpenClipCheckpoint, runtime: ResolvedRuntime, fingerprint: str = ""
    ) -> None:
        import torch
        from PIL import Image
        from torchvision.transforms import Compose

        self.fingerprint = fingerprint
        self._checkpoint = checkpoint
        self._runtime = runtime
        self._device = runtime.prepare()
        model, preprocess = create(checkpoint)
        *resize, _, self._normalize = preprocess.transforms
        self._resize = Compose(resize)
        self._model = model.eval().to(self._device, memory_format=torch.channels_last)
        self._tokenizer: Callable[[list[str]], torch.Tensor] | None = None
        blank = Image.new("RGB", (64, 64))
        self.side = max(self.prepare(blank).shape[:2])
        pixels = self._normalized([self.prepare(blank)])
        self.dim = self._encode(self._model.encode_image, pixels).shape[1]

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Vectors of RGB images of any size, shape (n, dim)."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """What the model reads of an RGB image of any size; uint8 (height, width, 3).

        Any thread may call it: it does not start threads of torch.
        """
        import torch

        return torch.from_numpy(np.array(self._resize(image)))

    def encode_prepared(self, prepared: Sequence[torch.Tensor]) -> Vectors:
        """As `encode_images`, for results of `prepare`; the images can be freed before the call."""
        return self._encode_in_batches(prepared, self._model.encode_image, self._normalized)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, shape (n, dim), in the same space as those of images.

        Raises:
            ConfigError: the model was trained without texts.
        """
        import open_clip

        if not self._checkpoint.reads_text:
            raise ConfigError(
                "the photos encoder was trained on ImageNet's classes and cannot read texts: "
                "choose an OpenCLIP model, for example encoder.architecture=ViT-B-32 and "
                "encoder.pretrained=openai"
            )
        if self._tokenizer is None:
            self._tokenizer = open_clip.get_tokenizer(self._checkpoint.model)
        return self._encode_in_batches(texts, self._model.encode_text, self._tokenizer)

    def _normalized(self, prepared: list[torch.Tensor]) -> torch.Tensor:
        """As torchvision's `ToTensor` and `Normalize`: float32 (n, 3, height, width)."""
        import torch

        pixels: torch.Tensor = torch.stack(prepared).permute(0, 3, 1, 2).float() / 255
        return self._normalize(pixels)

    def _encode_in_batches(
        self,
        items: Sequence[Any],
        encode: Callable[..., torch.Tensor],
        to_tensor: Callable[[list[Any]], torch.Tensor],
    ) -> Vectors:
        size = self._runtime.batch_size
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
        with self._runtime.inference():
            features = encode(batch)
        return F.normalize(features.float(), dim=-1).cpu().numpy()
