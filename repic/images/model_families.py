"""Which convention the models of a family write boxes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from repic.images.coordinates import (
    INTERNVL,
    QWEN2_VL,
    QWEN3_VL,
    RESIZED,
    Convention,
    ConventionError,
    ResizedGrid,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class ImageProcessor(Protocol):
    """The attributes used of a transformers image processor of the Qwen2-VL kind.

    `size` has `shortest_edge` and `longest_edge`: minimum and maximum pixels (area) of the resized
    picture.
    """

    patch_size: int
    merge_size: int
    size: Any


def qwen25_vl(processor: ImageProcessor) -> Convention:
    """Qwen2.5-VL: absolute pixels of the picture as resized by its processor.

    Args:
        processor: The image processor, `processor.image_processor` of a multimodal processor.
    """
    grid = ResizedGrid(
        processor.patch_size * processor.merge_size,
        processor.size["shortest_edge"],
        processor.size["longest_edge"],
    )
    return Convention(RESIZED, grid, QWEN3_VL.template)


_FAMILIES: dict[str, Convention | Callable[[ImageProcessor], Convention]] = {
    "qwen2_vl": QWEN2_VL,
    "qwen2_5_vl": qwen25_vl,
    "qwen3_vl": QWEN3_VL,
    "qwen3_vl_moe": QWEN3_VL,
    "internvl": INTERNVL,
    "internvl_chat": INTERNVL,
}
_CLASSES = {
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl",
    "Qwen3VLForConditionalGeneration": "qwen3_vl",
    "Qwen3VLMoeForConditionalGeneration": "qwen3_vl_moe",
    "InternVLForConditionalGeneration": "internvl",
    "InternVLChatModel": "internvl_chat",
}


def convention_for(
    model: str | type | PretrainedConfig, processor: ImageProcessor | None = None
) -> Convention:
    """The convention of the family of a model.

    Args:
        model: A config, a model class, a `model_type` or a class name.
        processor: Image processor of the model; only Qwen2.5-VL needs it.

    Raises:
        ConventionError: the family is unknown, or needs a processor.
    """
    if isinstance(model, str):
        name = model
    elif isinstance(model, type):
        # A LoRA wrapper or a subclass has a different name than the class of the family.
        name = next((c.__name__ for c in model.__mro__ if c.__name__ in _CLASSES), model.__name__)
    else:
        name = model.model_type
    family = _FAMILIES.get(_CLASSES.get(name, name))
    if family is None:
        raise ConventionError(
            f"how {name} writes boxes is not known (known: {', '.join(sorted(_FAMILIES))}); "
            "pass a repic.images.coordinates.Convention of your own"
        )
    if isinstance(family, Convention):
        return family
    if processor is None:
        raise ConventionError(f"{name} writes pixels of the resized picture: pass its processor")
    return family(processor)
