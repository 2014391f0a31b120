"""What surrounds an answer and is no part of it: tokens that end a turn, and wrappers of thought.

The standard library only; time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, get_args

Wrapper = Literal["think", "answer"]
"""`think`: `<think>...</think>` before the answer; `answer`: `<answer>...</answer>` around it."""

WRAPPERS: tuple[Wrapper, ...] = get_args(Wrapper)

ENDS = (
    *("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<|end|>"),
    *("<end_of_turn>", "<eos>", "<pad>"),
)
"""Special tokens that end a turn, of the model families that write captions and boxes."""

MAX_ANSWER = 20_000
"""Characters of an answer up to which tokens at its end are looked for; no rule reads more."""

_THOUGHT = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def bare_answer(text: str, strip: Collection[str] = (), end: bool = True) -> str:
    """The answer without what is no part of it.

    Args:
        strip: Names of wrappers to remove; a broken one stays as it is.
        end: Remove special tokens that end the turn.
    """
    if "think" in strip:
        text = _after_thought(text)
    if end and (text.endswith(">") or text[-1:].isspace()) and len(text) <= MAX_ANSWER:
        text = without_end(text)
    return _inside_answer(text) if "answer" in strip else text


def wrappers_of(text: str) -> tuple[Wrapper, ...]:
    """The known names in a text such as `think,answer`."""
    given = {name.strip() for name in text.split(",")}
    return tuple(name for name in WRAPPERS if name in given)


def without_end(text: str) -> str:
    """The text without the tokens that end a turn, and without white space around these.

    A loop, because a pattern for this takes quadratic time.
    """
    end = length = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in ENDS if text.endswith(mark, 0, end)), None)
        if mark is None:
            return text[:end] if length < len(text) else text
        end -= len(mark)
        length = end


def without_thoughts(text: str) -> str:
    """The text without what stands in any thought, also a broken one.

    A thought without an end goes on to the end of the text; one without a beginning starts there.
    """
    parts: list[str] = []
    end = depth = 0
    for tag in _THOUGHT.finditer(text):
        is_closing = bool(tag[1])
        if is_closing and not depth:
            parts.clear()
        elif not depth:
            parts.append(text[end : tag.start()])
        depth = max(0, depth - 1) if is_closing else depth + 1
        end = tag.end()
    return "".join((*parts, "" if depth else text[end:])).strip() if end else text


def _after_thought(text: str) -> str:
    """What follows a thought at the start; some templates write `<think>` into the prompt."""
    thought, closed, rest = text.partition("</think>")
    is_first = not thought.rpartition("<think>")[0].strip()
    return rest.strip() if closed and is_first else text


def _inside_answer(text: str) -> str:
    inside = text.strip()
    if not (inside.startswith("<answer>") and inside.endswith("</answer>")):
        return text
    inside = inside.removeprefix("<answer>").removesuffix("</answer>")
    return text if "<answer>" in inside or "</answer>" in inside else inside.strip()
