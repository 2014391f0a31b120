"""Parsing of the single box in a model's answer: four numbers and their notation, without units.

The length of an answer is limited, and time is linear in it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Reason = Literal[
    "missing",
    "long",
    "padded",
    "several",
    "count",
    "malformed",
    "duplicate-key",
    "not-finite",
    "inverted",
    "empty",
    "outside",
    "convention",
    "denied",
    "other-words",
]
Notation = Literal["tokens", "plain"]
Numbers = tuple[float, float, float, float]


class BoxError(ValueError):
    """An answer without exactly one unambiguous box; `reason` is a stable code."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


MAX_LENGTH = 2_000
"""Maximum length of an answer, in characters: many times a box with its label and some words."""

MAX_PADDING = 100
"""Maximum characters of text around the box: enough for one sentence."""

MAX_BRACKETS = 24
"""Maximum opening brackets: a box needs at most six, and deep nesting is not parsed."""

MAX_NUMBERS = 3
"""Maximum numbers in the text around a box (`cup 2 of picture 1`); four could be another box."""

KEYS = ("bbox_2d", "bbox", "box")
"""Keys of a JSON object that can hold a box."""

_NUMBER = r"-?(?:[0-9]{1,7}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})"
_PLAIN_NUMBER = re.compile(_NUMBER)
_GAP = r"[ \t\n]*+"
_FOUR = rf"{_GAP},{_GAP}".join([f"({_NUMBER})"] * 4)
_CORNER = rf"\({_GAP}({_NUMBER}){_GAP},{_GAP}({_NUMBER}){_GAP}\)"
_BOXES = re.compile(
    rf"\[{_GAP}{_FOUR}{_GAP}\]|\({_GAP}{_FOUR}{_GAP}\)|{_CORNER}{_GAP}(?:,{_GAP})?{_CORNER}"
)
_BARE = re.compile(rf"(?<![\w.-])({_NUMBER})(?:{_GAP},{_GAP}|[ \t\n]+)" * 3 + rf"({_NUMBER})")
_BRACKETS = re.compile(r"[\[\](){}]")
_KEY = re.compile("bbox_2d")
_FENCE = re.compile(r"```[a-zA-Z]{0,10}")
_LABEL = r"[^<>\[\](){}]{0,80}"
_MARKUP = re.compile(
    rf"<\|object_ref_start\|>({_LABEL})<\|object_ref_end\|>|<\|box_(?:start|end)\|>"
)
_TAGS = re.compile(rf"<ref>({_LABEL})</ref>|</?box>")
_GROUP = re.compile(r"[\[(][^\[\]()A-Za-z0-9]*+[0-9][^\[\]()A-Za-z]*+[\])]")
_DIGITS = re.compile(r"[0-9]+")
_CONFIDENCE = re.compile("score|confiden|probab|certain", re.IGNORECASE)
_SPELLING = re.compile(r"\W")
_BAD_NUMBER = re.compile(r"\b(?:nan|inf|infinity)\b|[0-9][eE][0-9+]", re.IGNORECASE)


class BoxText(NamedTuple):
    """The single box in an answer.

    Attributes:
        notation: `tokens` if the box has the box tokens of Qwen2-VL or InternVL.
        numbers: x1, y1, x2, y2 in any units.
        around: All other text: before, after and between, labels, and keys of JSON.
    """

    notation: Notation
    numbers: Numbers
    around: str


def read_box(text: str) -> BoxText:
    """Read the single box of an answer.

    Raises:
        BoxError: the text has no box, more than one, or a malformed one.
    """
    if len(text) > MAX_LENGTH:
        raise BoxError("long", f"longer than {MAX_LENGTH} characters")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise BoxError("several", "more brackets than one box has")
    bare, labels = text, ""
    if "<" in text:
        labels = " ".join((*_MARKUP.findall(text), *_TAGS.findall(text)))
        _check_numbers(labels)  # a label is not a box, but four numbers in it could be one
        bare = _TAGS.sub(" ", _MARKUP.sub(" ", text))
    notation: Notation = "tokens" if "<|box_" in text or "<box>" in text else "plain"
    bare = _FENCE.sub(" ", bare).strip()
    boxes, around = _read_json(bare) if "{" in bare else _read_brackets(bare)
    if len(around) > MAX_PADDING:
        raise BoxError("padded", f"more than {MAX_PADDING} characters of text around the box")
    if len(set(boxes)) > 1:
        raise BoxError("several", f"{len(set(boxes))} different boxes")
    return BoxText(notation, boxes[0], f"{labels} {around}".strip() if labels else around)


def _read_brackets(text: str) -> tuple[list[Numbers], str]:
    """Boxes in brackets or parentheses, and the text outside of them."""
    if (bare := _BARE.search(text)) and not _BRACKETS.search(text):
        rest = text[: bare.start()] + text[bare.end() :]
        if not _DIGITS.search(_KEY.sub("", rest)):
            return [_finite(bare.groups())], rest.strip(" \t\n,.")
    boxes = [
        _finite([g for g in match.groups() if g is not None]) for match in _BOXES.finditer(text)
    ]
    rest = _BOXES.sub("", text)
    if _BAD_NUMBER.search(rest):
        raise BoxError("not-finite", "a number that is not finite or not written plainly")
    if _GROUP.search(rest):
        raise BoxError("count", "brackets that do not hold four numbers")
    if not boxes:
        raise BoxError("missing", "no box in the answer")
    _check_numbers(rest)
    return boxes, rest.strip(" \t\n[],.")


def _read_json(text: str) -> tuple[list[Numbers], str]:
    """Boxes in the JSON of an answer, and the text around it and beside its boxes."""
    start = min(index for index in (text.find("{"), text.find("[")) if index >= 0)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise BoxError("malformed", f"not JSON: {error.msg}") from None
    around = text[:start] + text[end:]
    if "{" in around or _GROUP.search(around):
        raise BoxError("several", "more than one piece of JSON")
    _check_numbers(around)
    boxes, words = _boxes_in(value), [around.strip()]
    for key, entry in _labels_in(value):
        _check_label(key, entry)
        words += [key, entry] if isinstance(entry, str) else [key]
    if not boxes:
        raise BoxError("missing", f"no box under {' or '.join(KEYS)}")
    return boxes, " ".join(filter(None, words))


def _check_numbers(text: str) -> None:
    """Refuse text around a box that may contain a second box."""
    if len(_DIGITS.findall(text)) > MAX_NUMBERS:
        raise BoxError("several", f"more than {MAX_NUMBERS} numbers beside the box")


def _check_label(key: str, entry: Any) -> None:
    """Refuse text or a number beside the box that takes it back, or that may be a second box."""
    is_low = isinstance(entry, float) and entry < (0.5 if _CONFIDENCE.search(key) else 0)
    if entry is None or entry is False or is_low:
        raise BoxError("denied", f"{key[:20]!r} says that there is no box")
    text = f"{key} {entry}" if isinstance(entry, str) else key
    if _GROUP.search(text):
        raise BoxError("several", f"{key[:20]!r} holds brackets with numbers")
    _check_numbers(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise BoxError("duplicate-key", "the same key twice")
    return value


def _number(text: str) -> float:
    if _PLAIN_NUMBER.fullmatch(text) is None:
        raise BoxError("not-finite", "a number that is not finite or not written plainly")
    return float(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_number, parse_float=_number, parse_constant=_number
)


def _boxes_in(value: Any) -> list[Numbers]:
    """The boxes of a JSON value: lists of four numbers, alone or as the text of one of `KEYS`."""
    if isinstance(value, dict):
        if len([key for key in KEYS if key in value]) > 1:
            raise BoxError("several", f"several of the keys {', '.join(KEYS)}")
        boxes = []
        for key, entry in value.items():
            if key in KEYS:
                boxes += _boxes_in(_box_entry(entry))
            elif isinstance(entry, list | dict):
                boxes += _boxes_in(entry)
        return boxes
    if not isinstance(value, list):
        raise BoxError("malformed", "a box is a list of four numbers")
    if all(isinstance(number, float) for number in value):
        return [_finite(value)]
    return [box for item in value for box in _boxes_in(item)]


def _box_entry(entry: Any) -> Any:
    """The list that a key of a box holds, which may be written as a text: `"[1, 2, 3, 4]"`."""
    match = _BOXES.fullmatch(entry.strip(" ")) if isinstance(entry, str) else None
    if match:
        return [float(number) for number in match.groups() if number is not None]
    if not isinstance(entry, list):
        raise BoxError("malformed", "a box is a list of four numbers")
    return entry


def _labels_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys that are not those of a box, each with its text or number, if it has one."""
    for item in value if isinstance(value, list) else [value]:
        for key, entry in item.items() if isinstance(item, dict) else ():
            if key in KEYS:
                continue
            if _SPELLING.sub("", key).casefold() in KEYS:
                raise BoxError("malformed", f"{key[:20]!r} is not one of {', '.join(KEYS)}")
            is_container = isinstance(entry, list | dict)
            yield key, "" if is_container else entry
            yield from _labels_in(entry if is_container else ())


def _finite(numbers: Any) -> Numbers:
    values = [float(number) for number in numbers]
    if len(values) != 4:
        raise BoxError("count", f"{len(values)} numbers are not a box")
    if not all(map(math.isfinite, values)):
        raise BoxError("not-finite", "a number that is not finite")
    return values[0], values[1], values[2], values[3]
