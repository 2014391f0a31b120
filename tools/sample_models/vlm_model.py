"""The small vision-language model of the generated world: a small Qwen2.5-VL.

Config classes, processor and chat template are those of the real model, so any code that trains or
serves Qwen2.5-VL supports it. It has 6.6 million parameters; a photo of 168 pixels is 36 tokens,
and a reference crop, at its own resolution, about nine.

Two settings are unusual: every block of the vision tower uses full attention, and height and width
each get every third rotary frequency (`mrope_section` of ones) instead of only the low ones, which
halves the steps needed to learn boxes.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.sample_models import vlm_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
    )

PATCH = 14
MERGE = 2
TOKEN = PATCH * MERGE
"""Side in pixels of the area of one token."""
MIN_PIXELS, MAX_PIXELS = TOKEN * TOKEN * 4, 168 * 168
"""Limits of a picture after resizing by the processor."""
WIDTH, LAYERS, HEADS, KEY_HEADS, INNER = 256, 5, 4, 2, 512
VISION_WIDTH, VISION_DEPTH, VISION_HEADS, VISION_INNER = 192, 4, 3, 384
"""Sizes of the language model and of the vision tower."""


def chat_template() -> str:
    """The chat template of Qwen2.5-VL that TRL ships."""
    folder = resources.files("trl") / "chat_templates"
    return (folder / "qwen2_5_vl.jinja").read_text(encoding="utf-8")


def processor() -> Qwen2_5_VLProcessor:
    """The processor of Qwen2.5-VL, with the small tokenizer and limits for small pictures."""
    from transformers import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    template = chat_template()
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS, patch_size=PATCH, merge_size=MERGE
        ),
        tokenizer=vlm_tokenizer.tokenizer(template),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=template,
    )


def config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Config of the model; the vocabulary size is rounded up to a multiple of 64."""
    from transformers import Qwen2_5_VLConfig

    ids = tokenizer.get_vocab()
    vocabulary = -(-len(tokenizer) // 64) * 64
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_HEADS,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [1] * (WIDTH // HEADS // 2),
            },
            "bos_token_id": None,
            "eos_token_id": ids[vlm_tokenizer.TURN_END],
            "pad_token_id": ids[vlm_tokenizer.END],
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
        },
        vision_config={
            "depth": VISION_DEPTH,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": VISION_INNER,
            "num_heads": VISION_HEADS,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "window_size": 16 * TOKEN,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": list(range(VISION_DEPTH)),
            "initializer_range": 0.02,
        },
        image_token_id=ids[vlm_tokenizer.IMAGE],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def untrained(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> Qwen2_5_VLForConditionalGeneration:
    """The model with random weights."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(config(tokenizer))


def save(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path
) -> Path:
    """Write a checkpoint with float16 weights, for `from_pretrained` of the Auto classes."""
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.half().save_pretrained(folder)
    model.float()
    processor.save_pretrained(folder)
    path = folder / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    # Default dtype for loading: float32 is faster on a CPU.
    settings["dtype"] = "float32"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder


MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Normalization of the image processor (CLIP's)."""


def fast_autocast() -> Any:
    """Autocast to bfloat16 if the CPU supports it; otherwise it is 40 times slower than float32."""
    import torch

    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)


def patches(pixels: torch.Tensor) -> torch.Tensor:
    """Normalized patches in the order of the image processor, for one temporal slice.

    Args:
        pixels: uint8 (n, height, width, 3); sides are multiples of `TOKEN`.

    Returns:
        float32 (n, height * width / PATCH**2, 3 * PATCH**2).
    """
    import torch

    mean, std = torch.tensor(MEAN) * 255, torch.tensor(STD) * 255
    flat = ((pixels.float() - mean) / std).permute(0, 3, 1, 2)
    n, down, across = flat.shape[0], flat.shape[2] // TOKEN, flat.shape[3] // TOKEN
    grid = flat.reshape(n, 3, down, MERGE, PATCH, across, MERGE, PATCH)
    return grid.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(n, -1, 3 * PATCH * PATCH)


def features(visual: Any, pixels: torch.Tensor, down: int, across: int) -> tuple[torch.Tensor, ...]:
    """Outputs of the vision tower, equal to those of the model's own forward.

    Args:
        visual: The vision tower of the model.
        pixels: `patches` of n pictures.
        down, across: Tokens of each picture.

    Returns:
        (n, 4 * tokens, vision width) before the merger, in the order of `patches`;
        (n, tokens, width) after it, in row-major order.
    """
    from torch.nn import functional
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

    n, length = pixels.shape[0], pixels.shape[1]
    weight = visual.patch_embed.proj.weight.sum(2).flatten(1)
    hidden = functional.linear(pixels, weight)
    cos, sin = visual.rotary_pos_emb(hidden, positions(down, across))
    for block in visual.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(hidden)).reshape(n, length, 3, attention.num_heads, -1)
        query, key, value = qkv.unbind(2)
        query, key = qwen.apply_rotary_pos_emb_vision(query, key, cos, sin)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        # The gradient of torch's fused attention is slow on a CPU.
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
