"""Reads an answer: from a conversation, or from a prompt with its answer in a chat template.

It uses the standard library only.
"""

from __future__ import annotations

import re
from typing import Any

from repic.rewards.wrappers import without_end

_PICTURE = re.compile(r"(?:<\|(?:image_pad|video_pad)\|>)+")


def answer_of(query: str, prompt: str) -> str | None:
    """The text after the prompt; image tokens may be expanded in one of the two.

    Returns:
        None if the query does not begin with the prompt.
    """
    text, prefix = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    return without_end(text[len(prefix) :]) if text.startswith(prefix) else None


def text_of(completion: Any) -> str:
    """The answer of a completion of TRL: a text, or a conversation of turns, texts and blocks."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)
