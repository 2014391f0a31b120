"""The vision tower on many pictures of one size at once: the same numbers, several times faster.

The model's own forward attends to one picture after the other and convolves both slices in time,
which of a photo are the same. Here pictures of one grid are one batch, and a patch is multiplied
with the sum of the two slices' weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.sample_models.vlm_model import MERGE, PATCH, TOKEN

if TYPE_CHECKING:
    import torch

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the image processor (CLIP's)."""


def quicker() -> Any:
    """bfloat16 where the CPU computes in it; elsewhere it is forty times as slow as float32."""
    import torch

    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)


def patches(pixels: torch.Tensor) -> torch.Tensor:
    """Patches in the order of the image processor, one slice in time.

    Args:
        pixels: uint8 (n, height, width, 3); sides are multiples of `TOKEN`.

    Returns:
        float32 (n, height * width / PATCH**2, 3 * PATCH**2), normalised.
    """
    import torch

    mean, std = torch.tensor(MEAN) * 255, torch.tensor(STD) * 255
    flat = ((pixels.float() - mean) / std).permute(0, 3, 1, 2)
    n, down, across = flat.shape[0], flat.shape[2] // TOKEN, flat.shape[3] // TOKEN
    grid = flat.reshape(n, 3, down, MERGE, PATCH, across, MERGE, PATCH)
    return grid.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(n, -1, 3 * PATCH * PATCH)


def features(visual: Any, shown: torch.Tensor, down: int, across: int) -> tuple[torch.Tensor, ...]:
    """What the tower says of patches and of tokens.

    Args:
        visual: The vision tower of the model.
        shown: `patches` of n pictures.
        down, across: Tokens of a picture.

    Returns:
        (n, 4 * tokens, vision width) before the merger, in the order of `patches`;
        (n, tokens, width) after it, row by row.
    """
    from torch.nn import functional
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

    n, length = shown.shape[0], shown.shape[1]
    weight = visual.patch_embed.proj.weight.sum(2).flatten(1)
    hidden = functional.linear(shown, weight)
    cos, sin = visual.rotary_pos_emb(hidden, positions(down, across))
    for block in visual.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(hidden)).reshape(n, length, 3, attention.num_heads, -1)
        query, key, value = qkv.unbind(2)
        query, key = qwen.apply_rotary_pos_emb_vision(query, key, cos, sin)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        # Products of its own: the gradient of torch's fused attention is slow on a CPU.
        weights = (query * attention.scaling @ key.mT).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n, length, -1)
        hidden = hidden + attention.proj(mixed)
        hidden = hidden + block.mlp(block.norm2(hidden))
    tokens = visual.merger(hidden.reshape(n * length, -1)).reshape(n, length // MERGE**2, -1)
    return hidden, tokens


def positions(down: int, across: int) -> torch.Tensor:
    """Row and column of each patch, in the order of `patches`: long (4 * down * across, 2)."""
    import torch

    rows, columns = torch.meshgrid(
        torch.arange(down * MERGE), torch.arange(across * MERGE), indexing="ij"
    )
    grid = torch.stack([rows, columns]).reshape(2, down, MERGE, across, MERGE)
    return grid.permute(0, 1, 3, 2, 4).reshape(2, -1).T
