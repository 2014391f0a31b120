"""The answers of a group read their common prompt once, on a CPU, with unchanged results.

The prompt is computed for one answer, and its keys and values are repeated for the others. In the
update, gradients of all answers flow back through them. While sampling, an answer that has ended is
no longer computed. A GPU gains little, and its kernels would compute other roundings.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch

from repic.models.vlm.cpu_speedups import BatchFields, inner_model, is_on_cpu

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
"""Families that are tested; `get_rope_index` gives the positions of their tokens."""
_PER_ROW = ("input_ids", "attention_mask", "position_ids")


def can_share(model: Any) -> bool:
    """Whether the answers of a group can share the computation of their prompt.

    Not on a GPU, nor in other families, nor where dropout, a sliding window or recomputation of
    activations make the result depend on more than the keys and values of the prompt. transformers
    must know the argument `cache`, so it needs version 5.24 or so.
    """
    model = inner_model(model)
    text = model.config.get_text_config()
    return (
        is_on_cpu(model)
        and model.config.model_type in FAMILIES
        and "cache" in inspect.signature(type(model).forward).parameters
        and not text.to_dict().get("use_sliding_window")
        and not text.attention_dropout
        and not any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
        and not any(vars(m).get("gradient_checkpointing") for m in model.modules())
    )


def prompt_groups(
    prompts: torch.Tensor, mask: torch.Tensor, fields: BatchFields
) -> list[list[int]]:
    """Indices of rows with the same prompt and the same images, in order of their first rows.

    Args:
        prompts: Tokens, long (rows, columns), padded on the left.
        mask: Whether a token is not padding, like `prompts`.
    """
    groups: list[list[int]] = []
    for row in range(len(prompts)):
        for group in groups:
            first = group[0]
            if (
                torch.equal(prompts[row], prompts[first])
                and torch.equal(mask[row], mask[first])
                and fields.same_images(row, first)
            ):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


class SharedPromptModel:
    """A model that computes the common prompt of all rows of a batch once.

    Its outputs are those of TRL's fused head for the completion tokens only.
    """

    def __init__(self, model: Any, completion_columns: int) -> None:
        """
        Args:
            completion_columns: Number of last columns that hold completions, padded on the right.
        """
        self._model = model
        self._completion_columns = completion_columns

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        **head: Any,
    ) -> Any:
        """Args:
        input_ids: long (rows, columns), like `attention_mask`, `labels` and
            `mm_token_type_ids`.
        pixel_values, image_grid_thw: The images of each row in sequence, equal for all rows.
        head: Passed on with the completions.
        """
        from transformers import DynamicCache

        rows, columns = input_ids.shape
        # The last token of the prompt predicts the first ones of the answers, so it goes with them.
        split = columns - self._completion_columns - 1
        used = attention_mask.any(0).nonzero()[:, 0]
        first, last = int(used[0]), max(int(used[-1]) + 1, split + 2)
        images: dict[str, Any] = {}
        if image_grid_thw is not None and pixel_values is not None:
            grid = image_grid_thw[: len(image_grid_thw) // rows]
            patches = pixel_values[: len(pixel_values) // rows]
            images = {"pixel_values": patches, "image_grid_thw": grid}
        types = None if mm_token_type_ids is None else mm_token_type_ids[:1, first:last]
        positions = self._positions(input_ids[:1, first:last], images.get("image_grid_thw"), types)
        cache = DynamicCache()
        self._model(
            input_ids=input_ids[:1, first:split],
            position_ids=positions[..., : split - first],
            cache=cache,
            use_cache=True,
            logits_to_keep=1,
            **images,
        )
        cache.batch_repeat_interleave(rows)
        output = self._model(
            input_ids=input_ids[:, split:last],
            position_ids=positions[..., split - first :].expand(-1, rows, -1),
            cache=cache,
            labels=labels[:, split:last],
            **head,
        )
        for name in ("log_probs", "entropy"):
            if output.get(name) is not None:
                output[name] = torch.nn.functional.pad(output[name], (0, columns - last))
        return output

    def _positions(
        self, ids: torch.Tensor, grid: torch.Tensor | None, types: torch.Tensor | None
    ) -> torch.Tensor:
        """Time, row and column of each token, long (3, 1, tokens)."""
        if grid is None or types is None:
            return torch.arange(ids.shape[1]).expand(3, 1, -1)
        positions, _ = inner_model(self._model).base_model.get_rope_index(
            ids, mm_token_type_ids=types, image_grid_thw=grid
        )
        return torch.as_tensor(positions)


@contextlib.contextmanager
def whole_groups() -> Iterator[None]:
    """Let TRL divide a generation batch into batches without shuffling it first."""

    def in_order(batch: dict[str, Any]) -> dict[str, Any]:
        torch.randperm(len(batch["advantages"]))  # leaves the random numbers as after a shuffle
        return batch

    with mock.patch("trl.trainer.grpo_trainer.shuffle_sequence_dict", in_order):
        yield


@contextlib.contextmanager
def sampled_in_groups(
    model: Any, images: Sequence[Sequence[Any] | None] | None, ends: Sequence[int]
) -> Iterator[None]:
    """Let one `generate` read each different prompt once and compute no answer after its end.

    Random numbers are drawn as before, so it samples the same answers. Does nothing for a model
    that cannot share prompts.

    Args:
        images: Images of each row; None if no row has any.
        ends: Tokens after which an answer is cut.
    """
    inner = inner_model(model)
    if not can_share(model):
        yield
        return
    forward = inner.forward
    counts = None if images is None else [len(row or ()) for row in images]
    inner.forward = _GroupedForward(forward, counts, torch.tensor(ends))
    try:
        yield
    finally:
        inner.forward = forward


class _GroupedForward:
    """Replacement of a model's forward in one `generate`, with the same arguments and logits."""

    def __init__(self, forward: Any, counts: list[int] | None, ends: torch.Tensor) -> None:
        self._forward = forward
        self._counts = counts
        self._ends = ends
        self._rows: torch.Tensor | None = None  # rows in the cache, those that have not ended
        # Without this parameter, `generate` leaves it to the first pass to encode the images.
        signature = inspect.signature(forward)
        kept = [p for p in signature.parameters.values() if p.name != "mm_encoder_outputs"]
        self.__signature__ = signature.replace(parameters=kept)

    def __call__(self, **inputs: Any) -> Any:
        if self._rows is None:
            return self._read(inputs)
        ids = inputs["input_ids"]
        ended = torch.isin(ids[self._rows, 0], self._ends)
        if ended.any() and not ended.all():
            self._rows = self._rows[~ended]
            inputs["cache"].batch_select_indices((~ended).nonzero()[:, 0])
        output = self._forward(**_of_rows(inputs, self._rows))
        logits = output.logits
        output.logits = logits.new_zeros(len(ids), *logits.shape[1:])
        output.logits[self._rows] = logits
        return output

    def _read(self, inputs: dict[str, Any]) -> Any:
        names = ("pixel_values", "image_grid_thw", "mm_token_type_ids")
        fields = BatchFields(
            {name: inputs.pop(name, None) for name in names} | {"num_images": self._counts}
        )
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        groups = prompt_groups(ids, torch.ones_like(ids) if mask is None else mask, fields)
        firsts = [group[0] for group in groups]
        chosen = fields.select(firsts)
        chosen.pop("num_images", None)
        output = self._forward(**_of_rows(inputs, torch.tensor(firsts)), **chosen)
        self._rows = torch.arange(len(ids))
        group_of_row = torch.empty_like(self._rows)
        for number, group in enumerate(groups):
            group_of_row[group] = number
        inputs["cache"].batch_select_indices(group_of_row)
        output.logits = output.logits[group_of_row]
        return output


def _of_rows(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """The inputs of a forward pass for some rows; rows are the last but one dimension.

    `generate` gives no mask where nothing is padding.
    """
    chosen = {name: inputs[name][..., rows, :] for name in _PER_ROW if inputs.get(name) is not None}
    return {**inputs, **chosen}
