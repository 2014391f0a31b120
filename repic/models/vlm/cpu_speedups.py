"""Passes through the model without what nobody reads; the numbers stay the same.

Three things cost most of a step of a small model on a CPU, and none of them is learning: a frozen
vision tower looks at the same picture once per answer and pass, short answers are padded to the
longest, and TRL multiplies every token of a prompt with the whole vocabulary where it has no Triton
kernel.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch

TOGETHER = 8
"""Answers of like lengths that go through the model at once."""
REMEMBERED = 4096
"""Pictures whose features are kept: of the sample model 150 MB, if all were whole photos."""
SEEN_ONCE = ("qwen2_vl", "qwen2_5_vl")
"""Families of which the language model reads only the features after the merger."""


@contextlib.contextmanager
def looking_once(model: Any) -> Iterator[None]:
    """A vision tower that does not learn sees each picture once; what it says of it is kept.

    Each picture is seen alone, so that its features do not depend on what else a batch shows.
    Changes nothing on a GPU, where the look-up costs more than the tower of a small picture, and
    for other families.
    """
    inner = model.base_model
    known = model.config.model_type in SEEN_ONCE and model.device.type == "cpu"
    if not known or isinstance(inner.get_image_features, Remembered):
        yield
        return
    inner.get_image_features = Remembered(inner.get_image_features)
    try:
        yield
    finally:
        del inner.get_image_features


class Remembered:
    """`get_image_features` of a model with a memory."""

    def __init__(self, look: Any, size: int = REMEMBERED) -> None:
        self._look = look
        self._size = size
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def __call__(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **kwargs: Any
    ) -> Any:
        """Features of each picture, a tuple of (tokens, width).

        Args:
            pixel_values: Patches of all pictures, (patches, values).
            image_grid_thw: Slices in time, rows and columns of each, (pictures, 3).
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        if pixel_values.device.type != "cpu":  # DeepSpeed moved the model when training began
            return self._look(pixel_values, image_grid_thw, **kwargs)
        sizes = image_grid_thw.prod(-1).tolist()
        found = []
        for patches, grid in zip(pixel_values.split(sizes), image_grid_thw, strict=True):
            key = _key(patches, grid)
            if key not in self._kept:
                with torch.no_grad():
                    seen = self._look(patches, grid[None], **kwargs)
                self._kept[key] = seen.pooler_output[0]
                if len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            found.append(self._kept[key])
        # As the model's own: a tuple of pictures where the class speaks of one tensor.
        return BaseModelOutputWithPooling(pooler_output=tuple(found))  # type: ignore[arg-type]


def _key(patches: torch.Tensor, grid: torch.Tensor) -> bytes:
    made = hashlib.blake2b(grid.numpy().tobytes(), digest_size=16)
    made.update(patches.float().contiguous().numpy().data)
    return made.digest()


@contextlib.contextmanager
def answers_only() -> Iterator[None]:
    """TRL's fused head scores the tokens of answers alone, as it does where it has Triton.

    Without Triton it scores every token of a prompt as well, against the whole vocabulary, for
    devices that compile anew for each shape. A CPU does not.
    """
    with mock.patch("trl.trainer.utils._use_triton", return_value=True):
        yield


@contextlib.contextmanager
def merged(model: Any) -> Iterator[None]:
    """Adapters as a part of the weights, for as long as it samples: a third of the products.

    The weights are put back as they were, bit for bit; `unmerge_adapter` would round.
    """
    from peft.tuners.lora import Linear

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


def parts(lengths: Sequence[int]) -> list[list[int]]:
    """Places of answers in groups of like lengths, `TOGETHER` each, the last maybe fewer."""
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    return [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]


class Rows:
    """What TRL gives a forward pass of a batch, to be taken apart by rows.

    Args:
        fields: Keyword arguments of `_get_per_token_logps_and_entropies`: of each row a line of
            tokens, or all patches of its pictures in a row.
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

    def of(self, places: Sequence[int]) -> dict[str, Any]:
        """The same of some rows, in this order."""
        taken = dict(self.fields)
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in taken:
                taken[name] = taken[name][places]
        if "num_images" in taken:
            counts, grids = taken["num_images"], taken["image_grid_thw"]
            patches = taken["pixel_values"].split(
                [int(part.prod(-1).sum()) for part in grids.split(counts)]
            )
            by_row = grids.split(counts)
            taken["num_images"] = [counts[place] for place in places]
            taken["image_grid_thw"] = torch.cat([by_row[place] for place in places])
            taken["pixel_values"] = torch.cat([patches[place] for place in places])
        return taken


class Trimmed:
    """A model that is not shown columns which are padding in every row.

    What it says of columns on the right is filled up with zeros, as TRL has it of padding; on the
    left nobody looks.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: Any) -> Any:
        """Args:
        input_ids: long (rows, columns), as `attention_mask` and all else that is by token.
        """
        used = attention_mask.any(0).nonzero()[:, 0]
        first, last = int(used[0]), int(used[-1]) + 1
        columns = input_ids.shape[1]
        by_token = {"input_ids": input_ids, "attention_mask": attention_mask}
        for name in ("labels", "token_type_ids", "mm_token_type_ids"):
            if name in rest:
                by_token[name] = rest.pop(name)
        cut = {name: value[:, first:last] for name, value in by_token.items()}
        said = self._model(**cut, **rest)
        for name in ("log_probs", "entropy"):
            if said.get(name) is not None:
                said[name] = torch.nn.functional.pad(said[name], (0, columns - last))
        return said
