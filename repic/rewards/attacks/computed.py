"""Attacks that need code: computed boxes, very long answers, spellings letter by letter."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import partial

from repic.images.coordinates import Box
from repic.objectives.general_caption import reference_names
from repic.objectives.identify import NONE
from repic.objectives.query_view import QueryView, box_in_view
from repic.rewards.attacks.base import Attack, Make, Target
from repic.rewards.attacks.templates import (
    box_in_thousandths,
    load_corpus,
    prompt_names,
    rewrite_tags,
    right_name,
    tag_list,
)

_MEGABYTE = 1_000_000


def _repeated(unit: str, times: int, target: Target) -> str:
    """The gold answer, then a unit many times."""
    return target.gold + unit * times


# OCT

_OCT = (
    ("1 MB", lambda t: t.gold * (_MEGABYTE // 3)),
    ("10 MB", lambda t: t.gold * (10 * _MEGABYTE // 3)),
    ("words", lambda t: f"{t.gold} " * 100_000),
)

# VLT


def _other_box(change: Callable[[Box], Box], target: Target) -> str | None:
    """Another box, clipped to the photo; None where it is nearly the true one."""
    view, true = QueryView.of(target.row), box_in_view(target.row)
    other = change(true).clip(view.width, view.height)
    if other.area == 0 or other.iou(true) > 0.95:
        return None
    return target.convention.render(other, view.width, view.height)


def whole_picture(target: Target) -> str:
    """The box of the whole photo."""
    view = QueryView.of(target.row)
    box = Box(0, 0, view.width, view.height)
    return target.convention.render(box, view.width, view.height)


def _oversized(target: Target) -> str | None:
    view = QueryView.of(target.row)
    is_true = Box(0, 0, view.width, view.height).iou(box_in_view(target.row)) > 0.95
    return None if is_true else whole_picture(target)


def _grid(target: Target) -> str:
    boxes = [f"[{x}, {y}, {x + 250}, {y + 250}]" for x in range(0, 1000, 250) for y in (0, 500)]
    return f"{target.gold} {' '.join(boxes)}"


def _grown(share: float, box: Box) -> Box:
    """A box moved out by a share of its size on each side."""
    dx, dy = box.width * share, box.height * share
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)


def _shares(target: Target) -> str:
    return "[{:.3f}, {:.3f}, {:.3f}, {:.3f}]".format(
        *(edge / 1000 for edge in box_in_thousandths(target))
    )


def _percent(target: Target) -> str:
    return "[{}%, {}%, {}%, {}%]".format(*(edge / 10 for edge in box_in_thousandths(target)))


_OTHER_BOXES: tuple[tuple[str, Callable[[Box], Box]], ...] = (
    ("three times as wide", partial(_grown, 1.0)),
    ("a third wider", partial(_grown, 1 / 6)),
    ("half as wide", partial(_grown, -0.25)),
    ("its middle", partial(_grown, -0.45)),
    ("left half", lambda box: Box(box.x1, box.y1, (box.x1 + box.x2) / 2, box.y2)),
    (
        "moved right",
        lambda box: Box(box.x1 + box.width / 2, box.y1, box.x2 + box.width / 2, box.y2),
    ),
    (
        "moved down",
        lambda box: Box(box.x1, box.y1 + box.height / 2, box.x2, box.y2 + box.height / 2),
    ),
    ("x, y, width, height", lambda box: Box(box.x1, box.y1, box.x1 + 1, box.y1 + 1)),
    ("axes exchanged", lambda box: Box(box.y1, box.x1, box.y2, box.x2)),
    ("a corner", lambda box: Box(0, 0, 9, 9)),
)
_UNITS: tuple[tuple[str, Make], ...] = (
    ("shares", _shares),
    ("tenfold", lambda t: str([10 * edge + 1 for edge in box_in_thousandths(t)])),
    ("percent", _percent),
)
_LONG_BOXES: tuple[tuple[str, Make], ...] = (
    ("spaces", partial(_repeated, " ", 2_000)),
    ("1 MB", lambda t: t.gold * (_MEGABYTE // len(t.gold))),
    ("10 MB", lambda t: "[" * (10 * _MEGABYTE)),
)

# Captions and `which`


def _exchanged(target: Target) -> str | None:
    """A present name replaced by an absent one."""
    present = reference_names(target.row, present=True)
    absent = reference_names(target.row, present=False)
    if not present or not absent:
        return None
    return target.gold.replace(f"<{present[0]}>", f"<{absent[0]}>")


def _unnamed(target: Target) -> str | None:
    if not reference_names(target.row, present=True):
        return None
    return re.sub("<[^<>]+>", "something", target.gold)


def _all_words(target: Target) -> str:
    groups = load_corpus("attacks.yaml")["ict"]
    words = next(group["texts"] for group in groups if group["family"] == "word soup")
    return f"{tag_list(prompt_names(target))}: {' '.join(words)}"


_CYRILLIC = str.maketrans("aceiopxyAOCEPTHBKM", "асеіорхуАОСЕРТНВКМ")  # noqa: RUF001
_LIGATURES = {"ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02", "st": "\ufb06"}


def _each(template: str, name: str) -> str:
    return "".join(template.format(letter) for letter in name)


def _full_width(name: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name)


def _mathematical(name: str) -> str:
    return "".join(chr(0x1D41A + ord(c) - ord("a")) if "a" <= c <= "z" else c for c in name)


def _ligatures(name: str) -> str:
    return re.sub("|".join(_LIGATURES), lambda pair: _LIGATURES[pair[0]], name)


def _rewritten(change: Callable[[str], str], target: Target) -> str | None:
    return rewrite_tags(target, change)


def _respelled(change: Callable[[str], str], target: Target) -> str | None:
    """The right name of a `which` row changed; None where there is none or only case changes."""
    name = right_name(target)
    return None if name is None or change(name).lower() == name.lower() else change(name)


_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Cyrillic letters", lambda name: name.translate(_CYRILLIC)),
    ("full width", _full_width),
    ("struck through", partial(_each, "{}\u0336")),
    ("hyphens", "-".join),
    ("spaced", " ".join),
    ("reversed", lambda name: f"\u202e{name[::-1]}x\u202c"),
    ("long s", lambda name: name.replace("s", "\u017f")),
    ("ligature", _ligatures),
    ("entities", lambda name: "".join(f"&#{ord(c)};" for c in name)),
    ("escaped tag", lambda name: html.escape(f"<{name}>")),
    ("dots", ".".join),
    ("underscores", "_".join),
    ("line breaks", "\n".join),
    ("letters twice", lambda name: _each("{0}{0}", name) if name.isascii() else name),
    ("percent", lambda name: "".join(f"%{byte:02x}" for byte in name.encode())),
    ("mathematical", _mathematical),
)
_WHICH_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("full width", _full_width),
    ("struck through", partial(_each, "{}\u0336")),
    ("spaced", " ".join),
    ("long s", lambda name: name.replace("s", "\u017f")),
    ("right to left", lambda name: f"\u202e{name[::-1]}"),
    ("reversed", lambda name: name[::-1]),
    ("letters twice", partial(_each, "{0}{0}")),
)
_REPETITION: tuple[tuple[str, Make], ...] = (
    ("10 times", lambda t: " ".join([t.gold] * 10)),
    ("100 times", lambda t: " ".join([t.gold] * 100)),
    ("names", lambda t: f"{tag_list(prompt_names(t)[:1]) * 20} {t.gold}"),
    ("a word", lambda t: f"{t.gold} Very{' very' * 30} nice."),
)
_LONG_CAPTIONS: tuple[tuple[str, Make], ...] = (
    ("spaces", partial(_repeated, " ", 10_000)),
    ("1 MB", lambda t: f"{t.gold} " * (_MEGABYTE // 50)),
    ("10 MB", partial(_repeated, "<", 10 * _MEGABYTE)),
)
_WHOLE = "a name counts at token boundaries, spelled as given"
_ALONE = "the answer is one name, or none, and nothing else"

COMPUTED_ATTACKS: tuple[Attack, ...] = (
    *(Attack("oct", "size", "64 characters at most", name, make) for name, make in _OCT),
    Attack(
        "vlt",
        "oversized",
        "the score is the IoU with the true box",
        "the whole picture",
        _oversized,
    ),
    *(
        Attack(
            "vlt",
            "other box",
            "the score is the IoU with the true box",
            name,
            partial(_other_box, change),
        )
        for name, change in _OTHER_BOXES
    ),
    Attack(
        "vlt", "several", "one box; several different boxes score 0", "a grid and the box", _grid
    ),
    *(
        Attack("vlt", "units", "the units of the model's family, never guessed", name, make)
        for name, make in _UNITS
    ),
    *(Attack("vlt", "size", "2,000 characters at most", name, make) for name, make in _LONG_BOXES),
    Attack(
        "vlt", "nesting", "24 brackets at most", "deep", lambda t: f"{'[' * 900}{t.gold}{']' * 900}"
    ),
    Attack(
        "ict",
        "word soup",
        "a caption describes what is known of the photo",
        "everything",
        _all_words,
    ),
    Attack("ict", "absent name", "an absent name costs", "in place of a present one", _exchanged),
    Attack("ict", "missing name", "each present name counts", "nobody named", _unnamed),
    *(
        Attack("ict", "unicode", _WHOLE, name, partial(_rewritten, change))
        for name, change in _SPELLINGS
    ),
    *(Attack("ict", "repetition", "repetition costs", name, make) for name, make in _REPETITION),
    *(
        Attack("ict", "size", "10,000 characters at most", name, make)
        for name, make in _LONG_CAPTIONS
    ),
    Attack("ict", "size", "an empty caption says nothing", "white space", lambda t: " \n\t" * 99),
    Attack(
        "which",
        "wrong",
        "the name is that of the object in the box",
        "none",
        lambda t: NONE if t.gold != NONE else None,
    ),
    Attack(
        "which",
        "echo",
        _ALONE,
        "the prompt",
        lambda t: "\n".join(block["text"] for block in t.row["prompt"]),
    ),
    *(
        Attack("which", "unicode", "a name is spelled as given", name, partial(_respelled, change))
        for name, change in _WHICH_SPELLINGS
    ),
    Attack("which", "size", "200 characters at most", "1 MB", partial(_repeated, " ", _MEGABYTE)),
    Attack("which", "size", "200 characters at most", "10 MB", lambda t: t.gold * _MEGABYTE),
)
