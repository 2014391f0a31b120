"""Second half of the training: the language model learns the three objectives on frozen features.

Besides the answer, each row has auxiliary losses on the query picture: from the middle layer on, a
token must predict the name of its object (or yes or no) and its box. Without them the model learns
grounding only from a few words per answer, many times more slowly. Targets of coordinates are
smoothed over neighboring pixels. `vlm-sft`, the start of reinforcement learning, is the state after
a part of the steps.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from repic.sample.seeds import generator
from tools.sample_models import vlm_model
from tools.sample_models.optimizers import optimizers
from tools.sample_models.training_data import SIDE
from tools.sample_models.vlm_encoding import TOKENS, EncodedRow, RowEncoder, VisionFeatures
from tools.sample_models.vlm_vision import keep

EARLY, MIDDLE = 1, 3
"""Layers after which a token of the query must know the words, and the name, of what it shows."""
BATCH = {"oct": 16, "vlt": 28, "ict": 20, "which": 8}
LATE_BATCH = {"oct": 16, "vlt": 40, "ict": 16, "which": 4}
"""Rows of each kind per step, before step `LATE` and from then on."""
WEIGHTS = {"oct": 1.5, "vlt": 1.0, "ict": 1.0, "which": 0.5}
FROM = {"words": 1500, "point": 1500, "gaze": 1750, "look": 2000}
"""First step of each additional loss (see `LanguageTraining.losses`). They were added one by one to
the run that made the shipped weights, because the model boxed any object, not the queried one."""
LATE = 1500
"""Step from which `LATE_BATCH` is drawn."""
_RATE = 2e-3
RATES = (
    (0, 0.02),
    (50, 1.0),
    (1000, 1.0),
    (1500, 0.5),
    (1501, 0.02),
    (1550, 0.6),
    (1712, 0.6),
    (2000, 0.33),
    (2001, 0.45),
    (2500, 0.01),
)
"""Step and share of `_RATE`, straight in between; it rises again where something is added."""
_ABOUT, _WHERE = 0.5, 6.0
"""Weights of what a token shows and of its box."""
_LATER = {"words": _ABOUT, "point": _WHERE, "gaze": _ABOUT, "look": _ABOUT}
_SPREAD = 1.0
"""Standard deviation of a coordinate's target, in pixels."""


def states(
    language: Any, embedded: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Hidden states of whole lines, as the language model's own forward gives them.

    Args:
        embedded: float (n, length, width); padding is on the right, which nothing attends to.
        positions: long (3, n, length).

    Returns:
        Those after `EARLY` and `MIDDLE` layers, and the last, all through the last norm; and what
        the first heads of the two layers that follow look at, logits (n, length, length) each.
    """
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

    n, length, _ = embedded.shape
    frequencies = language.rotary_emb.inv_freq
    axes = torch.arange(len(frequencies)) % 3  # `mrope_section` of ones: the axes take turns
    angles = positions[axes].permute(1, 2, 0).float() * frequencies
    angles = torch.cat([angles, angles], -1)
    cos, sin = angles.cos(), angles.sin()
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden, early, between = embedded, embedded, embedded
    gaze, look = embedded, embedded
    for i, layer in enumerate(language.layers):
        attention = layer.self_attn
        normed = layer.input_layernorm(hidden)
        query, key, value = (
            part(normed).view(n, length, -1, attention.head_dim).transpose(1, 2)
            for part in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = qwen.apply_rotary_pos_emb(query, key, cos, sin)
        key = key.repeat_interleave(attention.num_key_value_groups, 1)
        value = value.repeat_interleave(attention.num_key_value_groups, 1)
        scores = (query * attention.scaling @ key.mT).masked_fill(future, float("-inf"))
        if i == EARLY:
            gaze = scores[:, 0]
        if i == MIDDLE:
            look = scores[:, 0]
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n, length, -1)
        hidden = hidden + attention.o_proj(mixed)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        if i + 1 == EARLY:
            early = language.norm(hidden)
        if i + 1 == MIDDLE:
            between = language.norm(hidden)
    return early, between, language.norm(hidden), gaze, look


class Batch:
    """Encoded rows, padded on the right."""

    def __init__(self, lines: Sequence[EncodedRow], pad: int) -> None:
        n, length = len(lines), -(-max(len(line.ids) for line in lines) // 8) * 8
        ids = np.full((n, length), pad)
        positions = np.zeros((3, n, length), np.int64)
        sights, labels = np.full((n, length), -1), np.full((n, length), -100)
        for k, line in enumerate(lines):
            size = len(line.ids)
            ids[k, :size] = line.ids
            positions[:, k, :size] = line.positions
            sights[k, :size] = line.sights
            labels[k, line.answer - 1 : size - 1] = line.ids[line.answer :]
        self.ids, self.positions = torch.from_numpy(ids), torch.from_numpy(positions)
        self.sights, self.labels = torch.from_numpy(sights), torch.from_numpy(labels)
        query = np.stack([line.query + np.arange(TOKENS) for line in lines])
        self.query = torch.from_numpy(query)
        self.words = torch.from_numpy(np.stack([line.words for line in lines]))
        self.told = torch.from_numpy(np.stack([line.told for line in lines]))
        self.reach = torch.from_numpy(np.stack([line.reach for line in lines]))


class LanguageTraining:
    """The language model in training."""

    def __init__(self, model: Any, encoder: RowEncoder, steps: int, compiled: bool = True) -> None:
        torch.manual_seed(1)
        self.language = model.model.language_model
        self.encoder, self.steps, self.step = encoder, steps, 0
        self.box = nn.Linear(vlm_model.WIDTH, 4)
        self.pad = self.language.padding_idx
        named = [*self.language.named_parameters(prefix="m"), *self.box.named_parameters()]
        self._parameters = [p for _, p in named]
        self.optimizers = optimizers(named, _RATE)
        self._states: Callable[..., Any] = states
        if compiled:
            self._states = torch.compile(states, dynamic=True)
        self._number = torch.full((self.language.vocab_size,), -1)
        self._number[encoder.numbers] = torch.arange(len(encoder.numbers))
        self._attributes = torch.tensor(encoder.attributes())
        self._number_ids = torch.tensor(encoder.numbers)

    def learn(self, lines: dict[str, list[EncodedRow]], sights: VisionFeatures) -> dict[str, float]:
        """One step over all kinds of rows.

        Args:
            lines: Of each kind, sorted by length, so that neighbours fill a batch well.
        """
        rng = generator("speaker", self.step)
        for parameter in self._parameters:
            parameter.grad = None
        report: dict[str, float] = {}
        for kind, count in (BATCH if self.step < LATE else LATE_BATCH).items():
            start = int(rng.integers(0, len(lines[kind]) - count))
            batch = Batch(lines[kind][start : start + count], self.pad)
            losses = self.losses(batch, sights, kind == "vlt")
            total = losses["said"] * WEIGHTS[kind] + _WHERE * losses["where"] / len(BATCH)
            if kind != "vlt" or self.step < LATE:  # a token before the question cannot know
                total = total + _ABOUT * losses["about"]
            for name, weight in _LATER.items():
                if name in losses and self.step >= FROM[name]:
                    total = total + weight * losses[name]
            total.backward()
            report |= {f"{kind} {name}": float(loss.detach()) for name, loss in losses.items()}
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        steps, shares = (list(column) for column in zip(*RATES, strict=True))
        rate = _RATE * float(np.interp(self.step, steps, shares))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.step += 1
        return report

    def losses(self, batch: Batch, sights: VisionFeatures, is_box: bool) -> dict[str, torch.Tensor]:
        """Of the answers, of what query tokens show, and of where it is."""
        with vlm_model.fast_autocast():
            early, between, last, gaze, look = self.read(batch, sights)
            rows = torch.arange(len(batch.ids))[:, None]
            seen = between[rows, batch.query]
            there = batch.told != -100
            words = self.language.embed_tokens.weight
            about = functional.cross_entropy((seen[there] @ words.T).float(), batch.told[there])
            where = (self.box(seen[there]).float() - batch.reach[there]).abs().mean()
            chances = (early[rows, batch.query][there] @ words.T).float().log_softmax(-1)
            described = batch.words[there]
            known = described >= 0
            named = -(chances.gather(1, described.clamp(min=0)) * known).sum() / known.sum()
            asked = batch.labels != -100
            logits = (last[asked] @ words.T).float()
        wanted = batch.labels[asked]
        if not is_box:
            said = functional.cross_entropy(logits, wanted)
            return {"said": said, "about": about, "where": where, "words": named}
        chances = logits.log_softmax(-1)
        loss = -chances.gather(1, wanted[:, None])[:, 0]
        value = self._number[wanted]
        number = value >= 0
        away = torch.arange(SIDE + 1) - value[number][:, None]
        spread = torch.exp(-((away / _SPREAD) ** 2) / 2)
        spread = spread / spread.sum(-1, keepdim=True)
        loss = loss.masked_scatter(number, -(spread * chances[number][:, self._number_ids]).sum(-1))
        point = self.pointing(batch, last)
        return {
            "said": loss.mean(),
            "about": about,
            "where": where,
            "words": named,
            "point": point,
            "gaze": self.gazing(batch, gaze, self._asks(batch)),
            "look": self.gazing(batch, look, self._asks(batch) | self._opens(batch)),
        }

    def pointing(self, batch: Batch, last: torch.Tensor) -> torch.Tensor:
        """How far the words of the question, and those before the box, are from knowing the box.

        Read with the same head as a token of the picture, so that it is enough to find one and copy
        it. Without it a model learns to box some object, whichever is asked for: to find one by its
        words takes two steps, neither of which is of use alone.
        """
        value = self._number[batch.labels.clamp(min=0)].masked_fill(batch.labels == -100, -1)
        true = value[value >= 0].view(-1, 1, 4).float() / SIDE
        before = self._asks(batch) | self._opens(batch)
        true = true.expand(-1, before.shape[1], -1)[before]
        return (self.box(last[before].float()) - true).abs().mean()

    def _asks(self, batch: Batch) -> torch.Tensor:
        """Words of the question that describe an object: bool (n, length)."""
        answered = (batch.labels != -100).cumsum(1) > 0
        return torch.isin(batch.ids, self._attributes) & ~answered

    def _opens(self, batch: Batch) -> torch.Tensor:
        """Where the answer stands before its first number is said: bool (n, length)."""
        value = self._number[batch.labels.clamp(min=0)].masked_fill(batch.labels == -100, -1)
        number = value >= 0
        return (batch.labels != -100) & (number.cumsum(1) - number.long() == 0)

    def gazing(self, batch: Batch, gaze: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        """How little some words look at the tokens of what the question is about.

        Args:
            gaze: Logits of one head, (n, length, length).
            asked: Which words, bool (n, length).
        """
        wanted = torch.zeros_like(batch.ids, dtype=torch.bool)
        wanted.scatter_(1, batch.query, batch.told == self.encoder.yes)
        asked = asked & wanted.any(1, keepdim=True)
        line, _ = asked.nonzero(as_tuple=True)
        share = gaze[asked].float().log_softmax(-1)
        seen = share.masked_fill(~wanted[line], float("-inf")).logsumexp(-1)
        return -seen.sum() / max(1, len(seen))

    def read(self, batch: Batch, sights: VisionFeatures) -> tuple[torch.Tensor, ...]:
        """Hidden states of a batch and a gaze: see `states`."""
        embedded = self.language.embed_tokens(batch.ids)
        shown = batch.sights >= 0
        embedded = embedded.masked_scatter(shown[..., None], sights.features[batch.sights[shown]])
        return self._states(self.language, embedded, batch.positions)

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "language": self.language.state_dict(),
            "box": self.box.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.language.load_state_dict(state["language"])
        self.box.load_state_dict(state["box"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)


@torch.no_grad()
def quick_scores(
    training: LanguageTraining, lines: dict[str, list[EncodedRow]], sights: VisionFeatures
) -> dict[str, float]:
    """Quick scores during training; `tools.sample_models.vlm_holdout` is the held-out measurement.

    OCT: share of right words. VLT: mean IoU of greedy boxes. ICT and `which`: share of right names,
    given the text before them.
    """
    encoder, marks = training.encoder, {}
    words = training.language.embed_tokens.weight
    opening = encoder.ids("<")[0], encoder.ids(" <")[0]
    for kind, some in lines.items():
        batch = Batch(some, training.pad)
        if kind == "vlt":
            marks["vlt"] = _mean_iou(training, batch, sights)
            continue
        with vlm_model.fast_autocast():
            _, _, last, *_ = training.read(batch, sights)
        if kind == "ict":
            before = batch.ids.roll(0, 1)
            asked = (batch.labels != -100) & torch.isin(before, torch.tensor(opening))
        else:
            asked = batch.labels != -100
            asked &= asked.cumsum(1) == (2 if kind == "which" else 1)
        said = (last[asked].float() @ words.T).argmax(-1)
        marks[kind] = float((said == batch.labels[asked]).float().mean())
    return marks


def _mean_iou(training: LanguageTraining, batch: Batch, sights: VisionFeatures) -> float:
    number = training._number[batch.labels.clamp(min=0)]
    number[batch.labels == -100] = -1
    slots = [row.nonzero()[:, 0].tolist() for row in number >= 0]
    true = torch.tensor([[int(number[k, s]) for s in some] for k, some in enumerate(slots)])
    said = torch.zeros_like(true)
    words = training.language.embed_tokens.weight[training._number_ids]
    batch = copy.copy(batch)
    batch.ids = batch.ids.clone()
    for i in range(4):
        with vlm_model.fast_autocast():
            _, _, last, *_ = training.read(batch, sights)
        for k, some in enumerate(slots):
            said[k, i] = (last[k, some[i]].float() @ words.T).argmax()
            batch.ids[k, some[i] + 1] = training._number_ids[said[k, i]]
    low, high = torch.maximum(said[:, :2], true[:, :2]), torch.minimum(said[:, 2:], true[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    area = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (said, true)]
    return float((shared / (area[0] + area[1] - shared)).mean())


def train(
    model: Any,
    encoder: RowEncoder,
    lines: dict[str, list[EncodedRow]],
    sights: VisionFeatures,
    tuning: tuple[dict[str, list[EncodedRow]], VisionFeatures],
    steps: int,
    state: Path,
    snapshots: dict[int, Path],
    compiled: bool = True,
) -> None:
    """Train the language model of `model` or resume from the file `state`.

    Args:
        tuning: Encoded rows and features for monitoring.
        snapshots: Files to save the weights to, by step.
    """
    training = LanguageTraining(model, encoder, steps, compiled)
    if state.exists():
        training.load(torch.load(state, weights_only=True))
    started, sums, since = time.monotonic(), dict[str, float](), 0
    while training.step < steps:
        for name, loss in training.learn(lines, sights).items():
            sums[name] = sums.get(name, 0.0) + loss
        since += 1
        if training.step % 50 == 0 or training.step == steps:
            told = ", ".join(f"{name} {total / since:.3f}" for name, total in sums.items())
            if training.step % 250 == 0 or training.step == steps:
                marks = quick_scores(training, *tuning)
                told += "; " + ", ".join(f"{name} {mark:.3f}" for name, mark in marks.items())
            seconds = time.monotonic() - started
            print(f"language step {training.step} of {steps}: {told}; {seconds:.0f} s", flush=True)
            sums, since = {}, 0
        if training.step % 250 == 0 or training.step == steps:
            keep(training.state(), state)
        if training.step in snapshots:
            keep(training.language.state_dict(), snapshots[training.step])
