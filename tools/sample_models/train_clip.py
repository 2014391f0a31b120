"""Training of the encoder: a small OpenCLIP model with a vocabulary of the generated world.

Three losses over crops like those of a detector, in batches where every object has a second view
and several look-alikes:

- *texts*: a crop against phrases that state all or some of its attributes. Several phrases of a
  batch may match a crop, so the target is uniform over them (the softmax loss of CLIP, arXiv
  2103.00020, with several positives).
- *views*: crops of one identity attract, look-alikes repel (supervised contrastive loss, arXiv
  2004.11362, equation 2).
- *attributes*: category, colour, pattern and accessory, classified by the cosine of the vector
  with one learned direction per value; these directions are not exported.

Crops with a hidden accessory are excluded from the accessory and view losses.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.sample_models import clip_tokenizer, crops, training_data
from tools.sample_models.crops import Crops

if TYPE_CHECKING:
    import torch

ROUNDS = 110
PASSES = 3
PAIRS = 64
"""Pairs of views per batch."""
FAMILIES, MEMBERS, PHOTOS = 30, 8, 900
"""Per round: pairs of category and colour, identities per pair, and photos in total."""
_RATE, _DECAY, _WARM_UP = 3e-3, 0.05, 3
_SCALE = 1 / 0.07
"""Inverse temperature of views and attributes."""
_DIM = 128
CONFIG: dict[str, dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": _DIM,
        "vision_cfg": {
            "image_size": crops.SIDE,
            "timm_model_name": "test_byobnet",
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {
            "context_length": clip_tokenizer.LENGTH,
            "vocab_size": len(clip_tokenizer.VOCABULARY),
            "hf_tokenizer_name": "sample",  # its files are in the same folder
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}


def train(work: Path, threads: int, rounds: int = ROUNDS) -> Path:
    """Train, or resume from the state in `work`; the folder of the finished model.

    Args:
        work: Folder for the state of the training.
        threads: CPU threads.
        rounds: Number of rounds.
    """
    import torch

    torch.set_num_threads(threads)
    training = EncoderTraining(rounds)
    state = work / "state.pt"
    if state.exists():
        training.load(torch.load(state, weights_only=True))
        print(f"resuming after round {training.rounds} of {rounds}", flush=True)
    while training.rounds < rounds:
        started = time.monotonic()
        report = training.train_round()
        text = ", ".join(f"{name} {value:.3f}" for name, value in report.items())
        seconds = time.monotonic() - started
        print(f"round {training.rounds} of {rounds}: {text}; {seconds:.0f} s", flush=True)
        temporary = state.with_suffix(".new")
        torch.save(training.state(), temporary)
        temporary.replace(state)
    return _export(training, work / "clip")


class EncoderTraining:
    """The model in training: weights, optimizer and number of finished rounds."""

    def __init__(self, rounds: int) -> None:
        import open_clip
        import torch
        from torch import nn

        torch.manual_seed(0)
        self.rounds = 0
        self._count = rounds
        self.model: Any = open_clip.CLIP(**CONFIG["model_cfg"])
        self.model.visual.to(memory_format=torch.channels_last)
        self._directions = nn.ParameterList(
            nn.Parameter(torch.randn(size, _DIM)) for size in crops.SIZES
        )
        decayed = [p for p in self._parameters() if p.ndim >= 2]
        others = [p for p in self._parameters() if p.ndim < 2]
        self._optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}],
            lr=_RATE,
            betas=(0.9, 0.98),
        )
        self._tokenize = clip_tokenizer.tokenizer()

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [*self.model.parameters(), *self._directions.parameters()]

    def state(self) -> dict[str, Any]:
        """The state to resume from."""
        return {
            "rounds": self.rounds,
            "model": self.model.state_dict(),
            "directions": self._directions.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        self.rounds = state["rounds"]
        self.model.load_state_dict(state["model"])
        self._directions.load_state_dict(state["directions"])
        self._optimizer.load_state_dict(state["optimizer"])

    def train_round(self) -> dict[str, float]:
        """Train one round; its mean losses."""
        round_index = self.rounds
        chosen = training_data.alike(round_index, FAMILIES, MEMBERS)
        rng = np.random.default_rng(round_index)
        round_crops = crops.cut(training_data.training_photos(round_index, PHOTOS, chosen), rng)
        self.model.train()
        losses = []
        batches = [batch for _ in range(PASSES) for batch in _batches(round_crops, rng)]
        for k, batch in enumerate(batches):
            self._set_rate(round_index + k / len(batches))
            losses.append(self._step(round_crops.take(batch), rng))
        self.rounds += 1
        return {name: float(np.mean([loss[name] for loss in losses])) for name in losses[0]}

    def _set_rate(self, progress: float) -> None:
        """Linear warm-up, and cosine decay to zero."""
        rate = 0.5 * _RATE * (1 + math.cos(math.pi * progress / self._count))
        for group in self._optimizer.param_groups:
            group["lr"] = rate * min(1.0, (progress + 0.01) / _WARM_UP)

    def _step(self, batch: Crops, rng: np.random.Generator) -> dict[str, float]:
        import torch
        import torch.nn.functional as F

        phrases = [
            clip_tokenizer.random_phrase(identity, shown, rng) for identity, shown in batch.facts()
        ]
        pixels = batch.pixels[:, :, ::-1] if rng.random() < 0.5 else batch.pixels
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
        vectors = F.normalize(self.model.encode_image((image / 255 - 0.5) / 0.25), dim=1)
        texts = self.model.encode_text(self._tokenize([phrase for phrase, _ in phrases]))
        attributes = torch.from_numpy(batch.attributes)
        losses = {
            "texts": _texts_loss(
                self.model.logit_scale.exp() * vectors @ F.normalize(texts, dim=1).T,
                clip_tokenizer.phrase_matches(
                    batch.attributes, np.array([stated for _, stated in phrases])
                ),
            ),
            "views": _views_loss(vectors, batch),
            "attributes": torch.stack(
                [
                    F.cross_entropy(
                        _SCALE * vectors @ F.normalize(directions, dim=1).T,
                        attributes[:, k],
                        ignore_index=crops.HIDDEN,
                    )
                    for k, directions in enumerate(self._directions)
                ]
            ).sum(),
        }
        self._optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self._parameters(), 1.0)
        self._optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return {name: float(loss.detach()) for name, loss in losses.items()}


def _batches(views: Crops, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of `PAIRS` pairs of views each; look-alikes are in one batch."""
    groups = [rng.permutation(np.flatnonzero(views.identity == i)) for i in views.in_families(rng)]
    pairs = []
    for turn in range(max(len(rows) for rows in groups) // 2):
        pairs += [rows[2 * turn : 2 * turn + 2] for rows in groups if len(rows) >= 2 * turn + 2]
    for start in range(0, len(pairs) - PAIRS + 1, PAIRS):
        yield np.concatenate(pairs[start : start + PAIRS])


def _texts_loss(logits: torch.Tensor, true: np.ndarray) -> torch.Tensor:
    """Mean of both directions; `logits` (crops, texts), `true` bool of the same shape."""
    import torch
    import torch.nn.functional as F

    target = torch.from_numpy(true).float()
    rows = F.cross_entropy(logits, target / target.sum(1, keepdim=True))
    columns = F.cross_entropy(logits.T, target.T / target.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def _views_loss(vectors: torch.Tensor, batch: Crops) -> torch.Tensor:
    """Supervised contrastive loss of the identities; `vectors` (crops, dim) are normalized."""
    import torch

    clear = torch.from_numpy(batch.attributes.min(1) != crops.HIDDEN)
    identity = torch.from_numpy(batch.identity)[clear]
    vectors = vectors[clear]
    is_self = torch.eye(len(identity), dtype=torch.bool)
    logits = (_SCALE * vectors @ vectors.T).masked_fill(is_self, -torch.inf)
    same = (identity[:, None] == identity[None, :]) & ~is_self
    log_probs = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~same, 0.0)
    count = same.sum(1)
    return -(log_probs.sum(1)[count > 0] / count[count > 0]).mean()


def _export(training: EncoderTraining, folder: Path) -> Path:
    """Write the model in OpenCLIP's layout, in half precision."""
    from safetensors.torch import save

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in training.model.state_dict().items()
    }
    (folder / "open_clip_model.safetensors").write_bytes(save(tensors))
    text = json.dumps(CONFIG, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    clip_tokenizer.write_tokenizer(folder)
    return folder
