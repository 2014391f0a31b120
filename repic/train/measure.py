"""How good a model answers held-out rows: greedy and sampled, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from repic.coordinates import Convention
from repic.objectives.base import Mode, Row
from repic.rewards.scoring import score
from repic.train.passes import looking_once
from repic.train.rows import Album, messages

RESAMPLES = 2000
LEVEL = 0.95
ALL = "all"
"""Stands for the mean of the objectives, each weighing the same."""

Gather = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True)
class Answer:
    """One answer to one held-out row.

    Attributes:
        reward: Of the strict rules, 0 to 1, whatever was trained on.
        right: Whether its reason is `right`; for a box, IoU of at least 0.5.
    """

    example_id: str
    objective: str
    completion: str
    reward: float
    reason: str

    @property
    def right(self) -> bool:
        return self.reason == "right"


@dataclass(frozen=True)
class Measured:
    """Answers of one model to the same rows in the same order, greedy and sampled."""

    greedy: tuple[Answer, ...]
    sampled: tuple[Answer, ...]

    def as_json(self) -> dict[str, Any]:
        """Means by objective, and every answer."""
        return {
            "means": {
                how: {
                    objective: {
                        "n": len(answers),
                        "reward": float(np.mean([a.reward for a in answers])),
                        "right": float(np.mean([a.right for a in answers])),
                    }
                    for objective, answers in _by_objective(getattr(self, how)).items()
                }
                for how in ("greedy", "sampled")
            },
            "answers": [
                {**asdict(greedy), "sampled": asdict(sampled)}
                for greedy, sampled in zip(self.greedy, self.sampled, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Measured:
        """What `as_json` wrote."""
        greedy, sampled = [], []
        for answer in found["answers"]:
            greedy.append(Answer(**{k: v for k, v in answer.items() if k != "sampled"}))
            sampled.append(Answer(**answer["sampled"]))
        return cls(tuple(greedy), tuple(sampled))


@dataclass(frozen=True)
class Change:
    """A mean before and after, and the difference with its 95 % interval."""

    objective: str
    how: str
    n: int
    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.after - self.before


class Measurer:
    """Answers rows with a model, in batches padded on the left; nothing of it is trained."""

    def __init__(
        self,
        processor: Any,
        convention: Convention,
        batch_size: int,
        max_new_tokens: int,
        mode: Mode = "strict",
        suppress: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        """
        Args:
            suppress: Tokens that are never an answer: those that stand for a picture.
            ends: Tokens that end an answer.
        """
        self.processor = processor
        self.convention = convention
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self.mode = mode
        self.suppress = list(suppress)
        self.ends = sorted(ends)
        self.album = Album()
        self._unseen: set[str] = set()

    def measure(
        self,
        model: Any,
        rows: Sequence[Row],
        seed: int = 0,
        tick: Callable[[int], None] = lambda done: None,
    ) -> Measured:
        """Greedy and sampled answers to these rows; the same again for the same seed on a CPU.

        A row whose photo was gone when it was asked is left out.
        """
        import torch

        texts: dict[str, list[str]] = {"greedy": [], "sampled": []}
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        for how in texts:
            with looking_once(base), torch.random.fork_rng(devices=_cuda(model)):
                torch.manual_seed(seed)
                for start in range(0, len(rows), self.batch_size):
                    batch = rows[start : start + self.batch_size]
                    texts[how] += self.answers(model, batch, sample=how == "sampled")
                    tick(len(batch))
        scored = {
            how: tuple(a for a in self._scored(rows, said) if a.example_id not in self._unseen)
            for how, said in texts.items()
        }
        return Measured(scored["greedy"], scored["sampled"])

    def answers(self, model: Any, rows: Sequence[Row], sample: bool) -> list[str]:
        """Texts of one batch."""
        import torch

        inputs = self.processor.apply_chat_template(
            [self._conversation(row) for row in rows],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(model.device)
        was_training = model.training
        model.eval()
        how: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}
        try:
            with torch.no_grad():
                made = model.generate(
                    **inputs,
                    **how,
                    do_sample=sample,
                    max_new_tokens=self.max_new_tokens,
                    use_cache=True,
                    disable_compile=True,
                    suppress_tokens=self.suppress or None,
                    eos_token_id=self.ends or None,
                    pad_token_id=self.processor.tokenizer.pad_token_id,
                )
        finally:
            model.train(was_training)
        new = made[:, inputs["input_ids"].shape[1] :]
        return list(self.processor.batch_decode(new, skip_special_tokens=True))

    def _conversation(self, row: Row) -> list[dict[str, Any]]:
        shown, why = self.album.of_row(row)
        if why:
            self._unseen.add(row["example_id"])
        pictures = iter(shown)
        [turn] = messages(row, self.convention)
        blocks = [
            {**block, "image": next(pictures)} if block["type"] == "image" else block
            for block in turn["content"]
        ]
        return [{**turn, "content": blocks}]

    def _scored(self, rows: Sequence[Row], texts: Sequence[str]) -> list[Answer]:
        answers = []
        for row, text in zip(rows, texts, strict=True):
            reward = score(text, row, self.mode, self.convention)
            answers.append(
                Answer(row["example_id"], row["objective"], text, reward.total, reward.reason)
            )
        return answers


def _cuda(model: Any) -> list[int]:
    device = model.device
    return [device.index or 0] if device.type == "cuda" else []


def shared(before: Measured, after: Measured) -> tuple[Measured, Measured]:
    """Both without the rows that one of them lost; see `Measurer.measure`."""
    ids = {a.example_id for a in before.greedy} & {a.example_id for a in after.greedy}

    def kept(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
        return tuple(a for a in answers if a.example_id in ids)

    return (
        Measured(kept(before.greedy), kept(before.sampled)),
        Measured(kept(after.greedy), kept(after.sampled)),
    )


def compare(before: Measured, after: Measured) -> list[Change]:
    """Changes by objective and of their mean, greedy and sampled; rows are compared with
    themselves, and resampled within each objective (percentile bootstrap, Efron 1979)."""
    changes = []
    for how in ("greedy", "sampled"):
        old, new = _by_objective(getattr(before, how)), _by_objective(getattr(after, how))
        drawn: dict[str, np.ndarray] = {}
        means: dict[str, tuple[float, float, int]] = {}
        for objective in old:
            a = np.array([answer.reward for answer in old[objective]])
            b = np.array([answer.reward for answer in new[objective]])
            drawn[objective] = _resampled(b - a, len(drawn))
            means[objective] = (a.mean(), b.mean(), len(a))
        if len(drawn) > 1:
            drawn[ALL] = np.mean(list(drawn.values()), axis=0)
            means[ALL] = (
                float(np.mean([m[0] for m in means.values()])),
                float(np.mean([m[1] for m in means.values()])),
                sum(m[2] for m in means.values()),
            )
        for objective, (was, now, n) in means.items():
            low, high = np.quantile(drawn[objective], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            changes.append(
                Change(objective, how, n, float(was), float(now), float(low), float(high))
            )
    return changes


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean, by the percentile bootstrap."""
    low, high = np.quantile(_resampled(values, 0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of RESAMPLES samples with replacement, float (RESAMPLES,)."""
    draw = np.random.default_rng(seed)
    return values[draw.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)


def _by_objective(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.objective, []).append(answer)
    return found
