"""Answers of a vision-language model to example rows, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.objectives.base import Row, messages


@dataclass(frozen=True)
class ChatOptions:
    """How a reply is generated.

    Attributes:
        temperature: 0 is greedy.
        top_p: Share of the probability that is sampled from.
        max_tokens: At most so many; None: as many as the generator's answers.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int | None = None


@dataclass(frozen=True)
class ChatReply:
    """A reply, the tokens of the prompt and of the reply, and whether the model ended it."""

    text: str
    prompt_tokens: int
    tokens: int
    is_complete: bool


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
        conversations = [self._conversation(row) for row in rows]
        sampling = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}
        _, new = self._generated(model, conversations, sampling, self.max_new_tokens)
        return list(self.processor.batch_decode(new, skip_special_tokens=True))

    def chat(
        self,
        model: Any,
        conversation: Sequence[Mapping[str, Any]],
        options: ChatOptions = ChatOptions(),
    ) -> ChatReply:
        """The reply to a conversation of any number of turns.

        Args:
            conversation: Turns with `role` and `content`, blocks of `text` and of `image`.
        """
        import torch

        sampling = {}
        if options.temperature:
            sampling = {"temperature": options.temperature, "top_k": 0, "top_p": options.top_p}
        most = options.max_tokens or self.max_new_tokens
        with torch.random.fork_rng(devices=_cuda(model)):
            torch.manual_seed(options.seed)
            asked, new = self._generated(model, [conversation], sampling, most)
        ended = bool(self.ends) and int(new[0, -1]) in self.ends
        [text] = self.processor.batch_decode(new, skip_special_tokens=True)
        return ChatReply(text, asked, new.shape[1], ended or new.shape[1] < most)

    def _generated(
        self, model: Any, conversations: Sequence[Any], sampling: Mapping[str, float], most: int
    ) -> tuple[int, Any]:
        """Tokens of the longest prompt, and the new tokens, int64 (conversations, at most `most`).

        Without `sampling`, decoding is greedy.
        """
        import torch

        inputs = self.processor.apply_chat_template(
            list(conversations),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(model.device)
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                tokens = model.generate(
                    **inputs,
                    **sampling,
                    do_sample=bool(sampling),
                    max_new_tokens=most,
                    use_cache=True,
                    disable_compile=True,
                    suppress_tokens=self.suppress or None,
                    eos_token_id=self.ends or None,
                    pad_token_id=self.processor.tokenizer.pad_token_id,
                )
        finally:
            model.train(was_training)
        asked = inputs["input_ids"].shape[1]
        return asked, tokens[:, asked:]

    def forget_pictures(self) -> None:
        """Free the decoded pictures of earlier rows."""
        self._pictures = PictureCache()

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
