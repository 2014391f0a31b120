"""Answers of a vision-language model to example rows, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.objectives.base import Row, messages


class AnswerGenerator:
    """Generates answers in batches that are padded on the left.

    Attributes:
        unreadable: Ids of rows that were answered without one of their pictures.
    """

    def __init__(
        self,
        processor: Any,
        convention: Convention,
        batch_size: int,
        max_new_tokens: int,
        suppress: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        """
        Args:
            suppress: Tokens that are never generated: image placeholders.
            ends: Tokens that end an answer.
        """
        self.processor = processor
        self.convention = convention
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self.suppress = list(suppress)
        self.ends = sorted(ends)
        self.unreadable: set[str] = set()
        self._pictures = PictureCache()

    def answers(
        self,
        model: Any,
        rows: Sequence[Row],
        sample: bool,
        seed: int = 0,
        tick: Callable[[int], None] = lambda done: None,
    ) -> list[str]:
        """Answers to all rows, batch by batch; on a CPU they repeat for the same seed."""
        import torch

        from repic.models.vlm.cpu_speedups import cached_image_features

        texts: list[str] = []
        with cached_image_features(model), torch.random.fork_rng(devices=_cuda(model)):
            torch.manual_seed(seed)
            for start in range(0, len(rows), self.batch_size):
                batch = rows[start : start + self.batch_size]
                texts += self.batch(model, batch, sample)
                tick(len(batch))
        return texts

    def batch(self, model: Any, rows: Sequence[Row], sample: bool = False) -> list[str]:
        """Answers to one batch of rows."""
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
        sampling = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}
        try:
            with torch.no_grad():
                tokens = model.generate(
                    **inputs,
                    **sampling,
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
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self.processor.batch_decode(new, skip_special_tokens=True))

    def _conversation(self, row: Row) -> list[dict[str, Any]]:
        pictures, reason = self._pictures.of_row(row)
        if reason:
            self.unreadable.add(row["example_id"])
        remaining = iter(pictures)
        *system, turn = messages(row, self.convention)
        blocks = [
            {**block, "image": next(remaining)} if block["type"] == "image" else block
            for block in turn["content"]
        ]
        return [*system, {**turn, "content": blocks}]


def _cuda(model: Any) -> list[int]:
    device = model.device
    return [device.index or 0] if device.type == "cuda" else []
