"""How good a model answers held-out rows: greedy and sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from repic.images.coordinates import Convention
from repic.models.vlm.answers import Answer, Measured
from repic.objectives.base import Mode, Row
from repic.rewards.scoring import score
from repic.train.rows import Album, messages


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

        from repic.models.vlm.cpu_speedups import looking_once

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
