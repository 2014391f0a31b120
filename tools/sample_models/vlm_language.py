"""Second half of the training: the language model, on frozen image features.

In addition to the answer loss, each row has auxiliary losses on the query photo: after the middle
layer, a token must predict the name of its object (or yes or no) and its box. Otherwise grounding
is learned only from the few words of each answer, many times more slowly. Targets of coordinates
are smoothed over neighboring pixels.
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
from tools.sample_models.vlm_vision import save_state

EARLY, MIDDLE = 1, 3
"""Number of layers after which a query token must predict attributes, and name and box."""
BATCH = {"oct": 16, "vlt": 28, "ict": 20, "which": 8}
LATE_BATCH = {"oct": 16, "vlt": 40, "ict": 16, "which": 4}
"""Rows per step and kind, before step `LATE` and from it on."""
WEIGHTS = {"oct": 1.5, "vlt": 1.0, "ict": 1.0, "which": 0.5}
FROM = {"attributes": 1500, "question_box": 1500, "early_attention": 1750, "middle_attention": 2000}
"""First step of each additional loss (see `LanguageTraining.losses`). They were added one by one
during the run of the shipped weights, because the model boxed any object, not the queried one."""
LATE = 1500
"""First step that uses `LATE_BATCH`."""
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
"""Steps and shares of `_RATE`, interpolated linearly; the rate rises when a loss is added."""
_WORD_WEIGHT, _BOX_WEIGHT = 0.5, 6.0
"""Weights of the auxiliary losses of words and boxes."""
_ADDED = {
    "attributes": _WORD_WEIGHT,
    "question_box": _BOX_WEIGHT,
    "early_attention": _WORD_WEIGHT,
    "middle_attention": _WORD_WEIGHT,
}
_COORDINATE_STD = 1.0
"""Standard deviation of a coordinate's target, in pixels."""


def states(
    language: Any, embedded: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Hidden states, equal to those of the language model's own forward.

    Args:
        embedded: float (n, length, width); padded on the right, where causal attention ignores it.
        positions: long (3, n, length).

    Returns:
        Hidden states after `EARLY`, `MIDDLE` and all layers, each through the last norm; and the
        attention logits (n, length, length) of the first head of the layer after each.
    """
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

    n, length, _ = embedded.shape
    frequencies = language.rotary_emb.inv_freq
    axes = torch.arange(len(frequencies)) % 3  # `mrope_section` of ones: axes alternate
    angles = positions[axes].permute(1, 2, 0).float() * frequencies
    angles = torch.cat([angles, angles], -1)
    cos, sin = angles.cos(), angles.sin()
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden, early, middle = embedded, embedded, embedded
    early_attention, middle_attention = embedded, embedded
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
            early_attention = scores[:, 0]
        if i == MIDDLE:
            middle_attention = scores[:, 0]
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n, length, -1)
        hidden = hidden + attention.o_proj(mixed)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        if i + 1 == EARLY:
            early = language.norm(hidden)
        if i + 1 == MIDDLE:
            middle = language.norm(hidden)
    return early, middle, language.norm(hidden), early_attention, middle_attention


class Batch:
    """Encoded rows as tensors, padded on the right; `labels` is -100 outside the answer."""

    def __init__(self, rows: Sequence[EncodedRow], pad: int) -> None:
        n, length = len(rows), -(-max(len(row.ids) for row in rows) // 8) * 8
        ids = np.full((n, length), pad)
        positions = np.zeros((3, n, length), np.int64)
        feature_rows, labels = np.full((n, length), -1), np.full((n, length), -100)
        for k, row in enumerate(rows):
            size = len(row.ids)
            ids[k, :size] = row.ids
            positions[:, k, :size] = row.positions
            feature_rows[k, :size] = row.feature_rows
            labels[k, row.answer - 1 : size - 1] = row.ids[row.answer :]
        self.ids, self.positions = torch.from_numpy(ids), torch.from_numpy(positions)
        self.feature_rows, self.labels = torch.from_numpy(feature_rows), torch.from_numpy(labels)
        query = np.stack([row.query + np.arange(TOKENS) for row in rows])
        self.query = torch.from_numpy(query)
        self.attribute_words = torch.from_numpy(np.stack([row.attribute_words for row in rows]))
        self.target_words = torch.from_numpy(np.stack([row.target_words for row in rows]))
        self.boxes = torch.from_numpy(np.stack([row.boxes for row in rows]))


class LanguageTraining:
    """Training state of the language model: weights, box head, optimizers and step."""

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

    def train_step(
        self, rows_by_kind: dict[str, list[EncodedRow]], features: VisionFeatures
    ) -> dict[str, float]:
        """Train one step over all kinds of rows; their losses.

        Args:
            rows_by_kind: Rows by kind, sorted by length, to reduce padding in a batch.
        """
        rng = generator("speaker", self.step)
        for parameter in self._parameters:
            parameter.grad = None
        report: dict[str, float] = {}
        for kind, count in (BATCH if self.step < LATE else LATE_BATCH).items():
            start = int(rng.integers(0, len(rows_by_kind[kind]) - count))
            batch = Batch(rows_by_kind[kind][start : start + count], self.pad)
            losses = self.losses(batch, features, kind == "vlt")
            total = losses["answer"] * WEIGHTS[kind]
            total = total + _BOX_WEIGHT * losses["token_box"] / len(BATCH)
            if kind != "vlt" or self.step < LATE:  # photo tokens do not see the question
                total = total + _WORD_WEIGHT * losses["token_word"]
            for name, weight in _ADDED.items():
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

    def losses(
        self, batch: Batch, features: VisionFeatures, is_box: bool
    ) -> dict[str, torch.Tensor]:
        """Losses of the answers and the auxiliary losses.

        `token_word` and `token_box`: name, yes or no, and box, after `MIDDLE` layers at the tokens
        of the query. `attributes`: attribute words there, after `EARLY` layers. With `is_box`, also
        `question_box` (see `_question_box_loss`) and the attention from the question
        (`early_attention`, `middle_attention`; see `_attention_loss`).
        """
        with vlm_model.fast_autocast():
            early, middle, last, early_attention, middle_attention = self.forward(batch, features)
            rows = torch.arange(len(batch.ids))[:, None]
            is_object = batch.target_words != -100
            at_objects = middle[rows, batch.query][is_object]
            embedding = self.language.embed_tokens.weight
            losses = {
                "token_word": functional.cross_entropy(
                    (at_objects @ embedding.T).float(), batch.target_words[is_object]
                ),
                "token_box": (self.box(at_objects).float() - batch.boxes[is_object]).abs().mean(),
            }
            early_objects = early[rows, batch.query][is_object]
            log_probs = (early_objects @ embedding.T).float().log_softmax(-1)
            words = batch.attribute_words[is_object]
            is_word = words >= 0
            losses["attributes"] = (
                -(log_probs.gather(1, words.clamp(min=0)) * is_word).sum() / is_word.sum()
            )
            is_answer = batch.labels != -100
            logits = (last[is_answer] @ embedding.T).float()
        answer = batch.labels[is_answer]
        if not is_box:
            return {"answer": functional.cross_entropy(logits, answer), **losses}
        log_probs = logits.log_softmax(-1)
        loss = -log_probs.gather(1, answer[:, None])[:, 0]
        value = self._number[answer]
        is_number = value >= 0
        distance = torch.arange(SIDE + 1) - value[is_number][:, None]
        target = torch.exp(-((distance / _COORDINATE_STD) ** 2) / 2)
        target = target / target.sum(-1, keepdim=True)
        smoothed = -(target * log_probs[is_number][:, self._number_ids]).sum(-1)
        loss = loss.masked_scatter(is_number, smoothed)
        in_question = self._in_question(batch)
        before_box = in_question | self._in_answer_before_box(batch)
        return {
            "answer": loss.mean(),
            **losses,
            "question_box": self._question_box_loss(batch, last),
            "early_attention": self._attention_loss(batch, early_attention, in_question),
            "middle_attention": self._attention_loss(batch, middle_attention, before_box),
        }

    def _question_box_loss(self, batch: Batch, last: torch.Tensor) -> torch.Tensor:
        """Mean box error at the words of the question and at the answer before the box.

        The box is read by the same head as at image tokens, so the model can find the token of the
        object and copy its state. Without this loss the model learns to box an arbitrary object:
        finding the queried one takes two steps, neither of which lowers the answer loss alone.
        """
        value = self._number[batch.labels.clamp(min=0)].masked_fill(batch.labels == -100, -1)
        true = value[value >= 0].view(-1, 1, 4).float() / SIDE
        positions = self._in_question(batch) | self._in_answer_before_box(batch)
        true = true.expand(-1, positions.shape[1], -1)[positions]
        return (self.box(last[positions].float()) - true).abs().mean()

    def _in_question(self, batch: Batch) -> torch.Tensor:
        """Attribute words of the question: bool (n, length)."""
        answered = (batch.labels != -100).cumsum(1) > 0
        return torch.isin(batch.ids, self._attributes) & ~answered

    def _in_answer_before_box(self, batch: Batch) -> torch.Tensor:
        """Positions of the answer up to its first number: bool (n, length)."""
        value = self._number[batch.labels.clamp(min=0)].masked_fill(batch.labels == -100, -1)
        number = value >= 0
        return (batch.labels != -100) & (number.cumsum(1) - number.long() == 0)

    def _attention_loss(
        self, batch: Batch, attention: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """Negative log of the attention on the tokens of the queried object, mean over positions.

        Args:
            attention: Logits of one head, (n, length, length).
            positions: Positions that should attend to the object, bool (n, length).
        """
        target = torch.zeros_like(batch.ids, dtype=torch.bool)
        target.scatter_(1, batch.query, batch.target_words == self.encoder.yes)
        positions = positions & target.any(1, keepdim=True)
        row, _ = positions.nonzero(as_tuple=True)
        log_shares = attention[positions].float().log_softmax(-1)
        on_target = log_shares.masked_fill(~target[row], float("-inf")).logsumexp(-1)
        return -on_target.sum() / max(1, len(on_target))

    def forward(self, batch: Batch, features: VisionFeatures) -> tuple[torch.Tensor, ...]:
        """Hidden states and attention logits of a batch, see `states`."""
        embedded = self.language.embed_tokens(batch.ids)
        is_image = batch.feature_rows >= 0
        image = features.features[batch.feature_rows[is_image]]
        embedded = embedded.masked_scatter(is_image[..., None], image)
        return self._states(self.language, embedded, batch.positions)

    def state(self) -> dict[str, Any]:
        """The state to resume from."""
        return {
            "step": self.step,
            "language": self.language.state_dict(),
            "box": self.box.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        self.step = state["step"]
        self.language.load_state_dict(state["language"])
        self.box.load_state_dict(state["box"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


@torch.no_grad()
def quick_scores(
    training: LanguageTraining, rows_by_kind: dict[str, list[EncodedRow]], features: VisionFeatures
) -> dict[str, float]:
    """Quick scores during training; `tools.sample_models.vlm_holdout` is the held-out measurement.

    OCT: accuracy. VLT: mean IoU of greedy boxes. ICT and `which`: accuracy of names, given the
    preceding text; NaN if no row names anybody.
    """
    encoder, scores = training.encoder, {}
    embedding = training.language.embed_tokens.weight
    opening = encoder.ids("<")[0], encoder.ids(" <")[0]
    for kind, rows in rows_by_kind.items():
        batch = Batch(rows, training.pad)
        if kind == "vlt":
            scores["vlt"] = _mean_iou(training, batch, features)
            continue
        with vlm_model.fast_autocast():
            _, _, last, *_ = training.forward(batch, features)
        if kind == "ict":
            before = batch.ids.roll(0, 1)
            is_scored = (batch.labels != -100) & torch.isin(before, torch.tensor(opening))
        else:
            is_scored = batch.labels != -100
            is_scored &= is_scored.cumsum(1) == (2 if kind == "which" else 1)
        predicted = (last[is_scored].float() @ embedding.T).argmax(-1)
        scores[kind] = float((predicted == batch.labels[is_scored]).float().mean())
    return scores


def _mean_iou(training: LanguageTraining, batch: Batch, features: VisionFeatures) -> float:
    number = training._number[batch.labels.clamp(min=0)]
    number[batch.labels == -100] = -1
    slots = [row.nonzero()[:, 0].tolist() for row in number >= 0]
    true = torch.tensor([[int(number[k, s]) for s in some] for k, some in enumerate(slots)])
    predicted = torch.zeros_like(true)
    embedding = training.language.embed_tokens.weight[training._number_ids]
    batch = copy.copy(batch)
    batch.ids = batch.ids.clone()
    for i in range(4):
        with vlm_model.fast_autocast():
            _, _, last, *_ = training.forward(batch, features)
        for k, some in enumerate(slots):
            predicted[k, i] = (last[k, some[i]].float() @ embedding.T).argmax()
            batch.ids[k, some[i] + 1] = training._number_ids[predicted[k, i]]
    low, high = (
        torch.maximum(predicted[:, :2], true[:, :2]),
        torch.minimum(predicted[:, 2:], true[:, 2:]),
    )
    shared = (high - low).clamp(min=0).prod(1)
    area = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (predicted, true)]
    return float((shared / (area[0] + area[1] - shared)).mean())


def train(
    model: Any,
    encoder: RowEncoder,
    rows_by_kind: dict[str, list[EncodedRow]],
    features: VisionFeatures,
    tuning: tuple[dict[str, list[EncodedRow]], VisionFeatures],
    steps: int,
    state: Path,
    compiled: bool = True,
) -> None:
    """Train the language model of `model`, or resume from the file `state`.

    Args:
        tuning: Encoded rows and features for monitoring.
    """
    training = LanguageTraining(model, encoder, steps, compiled)
    if state.exists():
        training.load(torch.load(state, weights_only=True))
    started, sums, since = time.monotonic(), dict[str, float](), 0
    while training.step < steps:
        for name, loss in training.train_step(rows_by_kind, features).items():
            sums[name] = sums.get(name, 0.0) + loss
        since += 1
        if training.step % 50 == 0 or training.step == steps:
            text = ", ".join(f"{name} {total / since:.3f}" for name, total in sums.items())
            if training.step % 250 == 0 or training.step == steps:
                scores = quick_scores(training, *tuning)
                text += "; " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
            seconds = time.monotonic() - started
            print(f"language step {training.step} of {steps}: {text}; {seconds:.0f} s", flush=True)
            sums, since = {}, 0
        if training.step % 250 == 0 or training.step == steps:
            save_state(training.state(), state)
