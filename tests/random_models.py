"""Real model classes with small random weights, saved by their libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def pictures(count: int = 5, seed: int = 0) -> list[Image.Image]:
    """Smooth random RGB images of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(60, 180, (count, 2)).tolist()
    coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return [
        Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
        for values, (width, height) in zip(coarse, sizes, strict=True)
    ]


def open_clip_folder(folder: Path, dim: int = 32, seed: int = 0) -> str:
    """A tiny CLIP in OpenCLIP's layout; returns its `local-dir:` name."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": dim,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    text = json.dumps({"model_cfg": config, "preprocess_cfg": {"resize_mode": "squash"}})
    (folder / "open_clip_config.json").write_text(text)
    return f"local-dir:{folder}"


def yolo_file(folder: Path, config: str, end_to_end: bool = False) -> str:
    """A checkpoint of an ultralytics `config`, for example yolov8n.yaml; returns its path."""
    from repic.models.detectors.yolo import quiet_ultralytics

    quiet_ultralytics()
    from ultralytics.nn import tasks

    kinds = {
        "yoloe": tasks.YOLOESegModel if "-seg" in config else tasks.YOLOEModel,
        "world": tasks.WorldModel,
        "pose": tasks.PoseModel,
    }
    kind = next((k for name, k in kinds.items() if name in config), tasks.DetectionModel)
    torch.manual_seed(0)
    model = kind(config, verbose=False)
    if "yoloe" in config:
        _settle_norms(model)
    model.args = {}
    model.task = tasks.guess_model_task(model)
    if end_to_end:
        model.model[-1].end2end = True
    path = folder / config.replace(".yaml", ".pt")
    torch.save({"model": model, "train_args": {}}, path)
    return str(path)


def _settle_norms(model: torch.nn.Module) -> None:
    """Fit the batch norms to a random batch; otherwise the scores of YOLOE equal its bias."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.rand(8, 3, 96, 96))
    model.eval()


def owlv2_folder(folder: Path) -> str:
    """A tiny OWLv2 with a tokenizer of single letters."""
    import transformers as tf

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = tf.Owlv2Config(
        text_config={
            **small,
            "vocab_size": len(tokens),
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"],
            "pad_token_id": vocabulary["<|endoftext|>"],
        },
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    tf.Owlv2ForObjectDetection(config).save_pretrained(folder)
    tokenizer = tf.CLIPTokenizer(vocab=vocabulary, merges=[])
    tf.Owlv2Processor(tf.Owlv2ImageProcessor(), tokenizer).save_pretrained(folder)
    return str(folder)


def grounding_dino_folder(folder: Path, words: tuple[str, ...]) -> str:
    """A tiny Grounding DINO with a few words; special tokens have the ids of BERT."""
    import transformers as tf

    tokens = [f"[unused{i}]" for i in range(1100)]
    tokens[0], tokens[100:104], tokens[1012] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"], "."
    tokens[200 : 200 + len(words)] = words
    config = tf.GroundingDinoConfig(
        backbone_config=tf.SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=2,
            out_indices=[2, 3, 4],
        ),
        text_config=tf.BertConfig(
            vocab_size=len(tokens),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=20,
        max_text_len=32,
    )
    torch.manual_seed(0)
    tf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    tokenizer = tf.BertTokenizer(vocab={token: i for i, token in enumerate(tokens)})
    tf.GroundingDinoProcessor(tf.GroundingDinoImageProcessor(), tokenizer).save_pretrained(folder)
    return str(folder)
