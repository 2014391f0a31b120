"""Reads an answer from a prompt with its answer, as a chat template wrote them.

It uses the standard library only.
"""

from __future__ import annotations

import re

_PICTURE = re.compile(r"(?:<\|(?:image_pad|video_pad)\|>)+")
_ENDS = ("<|im_end|>", "<|endoftext|>", "</s>")


def answer_of(query: str, prompt: str) -> str | None:
    """The text after the prompt; image tokens may be expanded in one of the two.

    Returns:
        None if the query does not begin with the prompt.
    """
    text, prefix = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    return without_end(text[len(prefix) :]) if text.startswith(prefix) else None


def without_end(text: str) -> str:
    """The text without the tokens that end a turn, and without white space around these.

    A loop, because a pattern for this takes quadratic time.
    """
    end = length = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in _ENDS if text.endswith(mark, 0, end)), None)
        if mark is None:
            return text[:end] if length < len(text) else text
        end -= len(mark)
        length = end
