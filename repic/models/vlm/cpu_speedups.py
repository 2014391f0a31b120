"""Faster training steps on a CPU with unchanged results.

Three redundant computations dominate a step of a small model on a CPU: the frozen vision tower
encodes an image once per answer and pass, short answers are padded to the longest, and TRL without
Triton computes logits for prompt tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any
from unittest import mock

import torch
from cachetools import LRUCache

GROUP_SIZE = 8
"""Answers of similar length in one forward pass."""
CACHED_IMAGES = 4096
"""Images whose features are cached: up to 150 MB for the sample model."""
CACHED_FAMILIES = ("qwen2_vl", "qwen2_5_vl")
"""Families whose language model reads only the features after the merger."""


def inner_model(model: Any) -> Any:
    """The transformers model below DDP and PEFT."""
    model = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def is_on_cpu(model: Any) -> bool:
    """Whether a model computes on a CPU, with whole weights.

    Where FSDP divides them, each pass is an exchange, so all processes must do as many.
    """
    model = inner_model(model)
    return model.device.type == "cpu" and not getattr(model, "_is_fsdp_managed_module", False)


@contextlib.contextmanager
def cached_image_features(model: Any) -> Iterator[None]:
    """Cache the image features of a frozen vision tower.

    Each image is encoded separately, so that its features do not depend on the rest of the batch.
    Does nothing on a GPU, where the lookup costs more than encoding a small image, and for families
    outside `CACHED_FAMILIES`.
    """
    model = inner_model(model)
    inner = model.base_model
    is_supported = model.config.model_type in CACHED_FAMILIES and is_on_cpu(model)
    if not is_supported or isinstance(inner.get_image_features, ImageFeatureCache):
        yield
        return
    inner.get_image_features = ImageFeatureCache(inner.get_image_features)
    try:
        yield
    finally:
        del inner.get_image_features


class ImageFeatureCache:
    """Replacement of a model's `get_image_features` that caches its results."""

    def __init__(self, encode: Any, size: int = CACHED_IMAGES) -> None:
        self._encode = encode
        self._features: LRUCache[bytes, torch.Tensor] = LRUCache(size)

    def __call__(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **kwargs: Any
    ) -> Any:
        """Features of each image, a tuple of (tokens, width).

        Args:
            pixel_values: Patches of all images, (patches, values).
            image_grid_thw: Time steps, rows and columns of each image, (images, 3).
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        if pixel_values.device.type != "cpu":  # DeepSpeed moves the model when training begins
            return self._encode(pixel_values, image_grid_thw, **kwargs)
        sizes = image_grid_thw.prod(-1).tolist()
        features = []
        for patches, grid in zip(pixel_values.split(sizes), image_grid_thw, strict=True):
            key = _key(patches, grid)
            encoded = self._features.get(key)
            if encoded is None:
                with torch.no_grad():
                    encoded = self._encode(patches, grid[None], **kwargs).pooler_output[0]
                self._features[key] = encoded
            features.append(encoded)
        # Like the model itself: a tuple over images, although the class declares one tensor.
        return BaseModelOutputWithPooling(pooler_output=tuple(features))  # type: ignore[arg-type]


def _key(patches: torch.Tensor, grid: torch.Tensor) -> bytes:
    digest = hashlib.blake2b(grid.numpy().tobytes(), digest_size=16)
    digest.update(patches.float().contiguous().numpy().data)
    return digest.digest()


@contextlib.contextmanager
def completion_logits_only() -> Iterator[None]:
    """Make TRL's fused head compute logits of completion tokens only, as it does with Triton.

    Without Triton it also computes those of prompt tokens, for devices that recompile for each
    shape. A CPU does not recompile.
    """
    with mock.patch("trl.trainer.utils._use_triton", return_value=True):
        yield


@contextlib.contextmanager
def merged_adapters(model: Any) -> Iterator[None]:
    """Merge adapters into the weights while sampling, which saves two of three products.

    The weights are restored bit for bit; `unmerge_adapter` alone would round them. Does nothing for
    a model without adapters, and for one in 4 bits, whose weights cannot take them in.
    """
    from peft.tuners.lora import Linear

    if not hasattr(model, "merge_adapter") or getattr(model, "is_loaded_in_4bit", False):
        yield
        return

    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, Linear)]
    before = [layer.get_base_layer().weight.data for layer in layers]
    with torch.no_grad():
        for layer, weight in zip(layers, before, strict=True):
            layer.get_base_layer().weight.data = weight.clone()
        model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()
        for layer, weight in zip(layers, before, strict=True):
            layer.get_base_layer().weight.data = weight


def groups_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in groups of `GROUP_SIZE` similar lengths; the last group may be smaller."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    return [order[start : start + GROUP_SIZE] for start in range(0, len(order), GROUP_SIZE)]


class BatchFields:
    """Multimodal arguments of a forward pass in TRL, split by rows of the batch.

    Args:
        fields: Keyword arguments of `_get_per_token_logps_and_entropies`: per row one line of
            tokens, or all patches of its images in sequence.

    Attributes:
        separable: Whether all fields are of a known layout.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = {name: value for name, value in fields.items() if value is not None}
        counts = self.fields.get("num_images")
        grids = self.fields.get("image_grid_thw")
        self.separable = (counts is None) == (grids is None) and not (
            self.fields.keys()
            - {
                "pixel_values",
                "image_grid_thw",
                "num_images",
                "token_type_ids",
                "mm_token_type_ids",
            }
        )

    @cached_property
    def _images(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Grids and patches of each row."""
        grids = self.fields["image_grid_thw"].split(self.fields["num_images"])
        sizes = [int(grid.prod(-1).sum()) for grid in grids]
        return list(zip(grids, self.fields["pixel_values"].split(sizes), strict=True))

    def same_images(self, one: int, other: int) -> bool:
        """Whether two rows have equal images."""
        return "num_images" not in self.fields or all(
            torch.equal(a, b) for a, b in zip(self._images[one], self._images[other], strict=True)
        )

    def select(self, indices: Sequence[int]) -> dict[str, Any]:
        """The fields of these rows, in this order."""
        taken = dict(self.fields)
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in taken:
                taken[name] = taken[name][indices]
        if "num_images" in taken:
            taken["num_images"] = [taken["num_images"][index] for index in indices]
            taken["image_grid_thw"] = torch.cat([self._images[index][0] for index in indices])
            taken["pixel_values"] = torch.cat([self._images[index][1] for index in indices])
        return taken


class TrimmedModel:
    """A model that receives no columns which are padding in all rows.

    Its outputs are padded with zeros on the right, as TRL's are; TRL ignores the left side.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: Any) -> Any:
        """Args:
        input_ids: long (rows, columns), like `attention_mask` and all other inputs per token.
        """
        used = attention_mask.any(0).nonzero()[:, 0]
        first, last = int(used[0]), int(used[-1]) + 1
        columns = input_ids.shape[1]
        by_token = {"input_ids": input_ids, "attention_mask": attention_mask}
        for name in ("labels", "token_type_ids", "mm_token_type_ids"):
            if name in rest:
                by_token[name] = rest.pop(name)
        cut = {name: value[:, first:last] for name, value in by_token.items()}
        output = self._model(**cut, **rest)
        for name in ("log_probs", "entropy"):
            if output.get(name) is not None:
                output[name] = torch.nn.functional.pad(output[name], (0, columns - last))
        return output
