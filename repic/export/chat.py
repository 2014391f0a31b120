"""A row as trainers read it: a conversation, its pictures, the true answer, and a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from repic.export.pictures import ExportPicture
from repic.images.coordinates import Convention
from repic.objectives.base import Row, messages
from repic.rewards.gold import gold_answer
from repic.rewards.server.protocol import label_of

PLACEHOLDER = "<image>"
SAYS_PLACEHOLDER = "its text contains <image>, <video> or <audio>, which stands for one there"
_MEDIA = re.compile(r"<(?:image|video|audio)>")


@dataclass(frozen=True)
class ChatRow:
    """A row of the examples with its exported pictures, in prompt order; the last is the query.

    Attributes:
        convention: How the model writes boxes.
    """

    row: Row
    pictures: tuple[ExportPicture, ...]
    convention: Convention

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """Turns of `role` and `content`, which is a list of blocks: TRL's form."""
        return messages(self.row, self.convention)

    @cached_property
    def flat_messages(self) -> list[dict[str, str]]:
        """Turns of `role` and `content`, which is a text with `<image>` for each picture."""
        return [
            {"role": turn["role"], "content": "".join(map(_flat, turn["content"]))}
            for turn in self.messages
        ]

    @cached_property
    def answer(self) -> str | None:
        """The true answer with boxes in the convention; None if no caption is known."""
        return gold_answer(self.row, self.convention)

    @cached_property
    def label(self) -> str:
        """The columns that a score depends on, as JSON text for a reward function."""
        return label_of(self.row)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The embedded pictures as `datasets.Image` stores them."""
        return [{"bytes": picture.data, "path": picture.name} for picture in self.pictures]

    @property
    def embedded_bytes(self) -> int:
        """Bytes of the embedded pictures."""
        return sum(len(picture.data or b"") for picture in self.pictures)


def says_placeholder(chat: ChatRow) -> str | None:
    """Why `<image>` cannot stand for the pictures of a row; None if it can."""
    texts = [block.get("text", "") for turn in chat.messages for block in turn["content"]]
    is_said = any(_MEDIA.search(text) for text in (*texts, chat.answer or ""))
    return SAYS_PLACEHOLDER if is_said else None


def _flat(block: dict[str, str]) -> str:
    return PLACEHOLDER if block["type"] == "image" else block["text"]
