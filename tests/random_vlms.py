"""Real classes of vision-language models with small random weights, saved to disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
import trl
from tokenizers import pre_tokenizers

END, PAD = "<|im_end|>", "<|endoftext|>"
QWEN = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SMOL = (
    *("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>", "<video>"),
    *("<|im_start|>", "<row_1_col_1>"),
)
SMOL_NAMES = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "video_token": "<video>",
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}


def qwen2_5_vl_folder(folder: Path, seed: int = 0, width: int = 32, tied: bool = True) -> str:
    """A tiny Qwen2.5-VL: two layers, images of at most 112 x 112 pixels.

    Args:
        width: Of the language model; 64 or more can be quantized.
        tied: Whether the head has the weights of the embeddings, as in the 3B but not in the 7B.
    """
    text = {**TEXT, "hidden_size": width, "intermediate_size": 2 * width}
    text["tie_word_embeddings"] = tied
    half = width // TEXT["num_attention_heads"] // 2
    rope = {**ROPE, "mrope_section": [half // 4, half // 4, half // 2]}
    tokenizer = _tokenizer(QWEN)
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    processor = tf.Qwen2_5_VLProcessor(
        tf.Qwen2VLImageProcessor(size=size),
        tokenizer,
        tf.Qwen2VLVideoProcessor(),
        chat_template=_template("qwen2_5_vl"),
    )
    config = tf.Qwen2_5_VLConfig(
        text_config={**text, **_ids(tokenizer), "rope_parameters": rope},
        vision_config={
            **_vision(patch_size=14),
            "out_hidden_size": width,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        **_image_tokens(tokenizer),
    )
    return _written(folder, tf.Qwen2_5_VLForConditionalGeneration, config, processor, seed)


def qwen3_vl_folder(folder: Path, seed: int = 0) -> str:
    """A tiny Qwen3-VL: width 32, two layers, images of at most 96 x 96 pixels."""
    tokenizer = _tokenizer(QWEN)
    size = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    processor = tf.Qwen3VLProcessor(
        tf.Qwen2VLImageProcessor(size=size, patch_size=16),
        tokenizer,
        tf.Qwen3VLVideoProcessor(),
        chat_template=_template("qwen3_vl"),
    )
    config = tf.Qwen3VLConfig(
        text_config={**TEXT, **_ids(tokenizer), "head_dim": 8, "rope_parameters": ROPE},
        vision_config={
            **_vision(patch_size=16),
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0],
        },
        **_image_tokens(tokenizer),
    )
    return _written(folder, tf.Qwen3VLForConditionalGeneration, config, processor, seed)


def smolvlm_folder(folder: Path, seed: int = 0) -> str:
    """A tiny SmolVLM2: one tile of 64 x 64 pixels per image."""
    tokenizer = _tokenizer(SMOL)
    side = {"longest_edge": 64}
    processor = tf.SmolVLMProcessor(
        tf.SmolVLMImageProcessor(size=side, max_image_size=side, do_image_splitting=False),
        tokenizer,
        tf.SmolVLMVideoProcessor(size=side, max_image_size=side),
        image_seq_len=4,
        chat_template=_template("smolvlm"),
    )
    config = tf.SmolVLMConfig(
        text_config={"model_type": "llama", **TEXT, **_ids(tokenizer)},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return _written(folder, tf.SmolVLMForConditionalGeneration, config, processor, seed)


FAMILIES: dict[str, Callable[[Path], str]] = {
    "Qwen2.5-VL": qwen2_5_vl_folder,
    "Qwen3-VL": qwen3_vl_folder,
    "SmolVLM2": smolvlm_folder,
}


def _tokenizer(special: tuple[str, ...]) -> Any:
    """A byte-level tokenizer with these special tokens."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tf.Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=[],
        unk_token=None,
        eos_token="<end_of_utterance>" if special is SMOL else END,
        pad_token=PAD,
        padding_side="left",
        extra_special_tokens=SMOL_NAMES if special is SMOL else {},
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def _template(name: str) -> str:
    folder = Path(trl.__file__).parent / "chat_templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


def _ids(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": 2048,
    }


def _vision(patch_size: int) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_heads": 2,
        "patch_size": patch_size,
        "out_hidden_size": TEXT["hidden_size"],
    }


def _image_tokens(tokenizer: Any) -> dict[str, Any]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}
    return {**ids, "tie_word_embeddings": True}


def _written(folder: Path, model: Any, config: Any, processor: Any, seed: int) -> str:
    torch.manual_seed(seed)
    model(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
