"""Reads an answer from a prompt with its answer, as a chat template wrote them.

It uses the standard library only.
"""

from __future__ import annotations

import re

from repic.rewards.wrappers import without_end

_PICTURE = re.compile(r"(?:<\|(?:image_pad|video_pad)\|>)+")


def answer_of(query: str, prompt: str) -> str | None:
    """The text after the prompt; image tokens may be expanded in one of the two.

    Returns:
        None if the query does not begin with the prompt.
    """
    text, prefix = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    return without_end(text[len(prefix) :]) if text.startswith(prefix) else None
