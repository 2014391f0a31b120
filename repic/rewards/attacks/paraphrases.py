"""Honest answers in other words: none may lose more than a little against the canonical one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from repic.images.coordinates import Box
from repic.objectives.identify import NONE
from repic.rewards.attacks.base import Make, Target
from repic.rewards.attacks.paraphrase_forms import FORMS
from repic.rewards.gold import SceneObject, location_phrase, scene_objects


@dataclass(frozen=True)
class Paraphrase:
    """One way to write an honest answer.

    Attributes:
        task: oct, vlt, ict (captions) or which.
        family: What is varied.
        name: Unique within its task.
        make: Its text for a target; None where it does not apply.
    """

    task: str
    family: str
    name: str
    make: Make


def all_paraphrases() -> tuple[Paraphrase, ...]:
    """Every paraphrase, in a fixed order."""
    more = (Paraphrase("ict", family, name, make) for family, name, make in FORMS)
    return (*_OCT, *_VLT, *_CAPTIONS, *more, *_WHICH)


# OCT: case, one mark, white space.
_CASES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("lower", str.lower),
    ("title", str.title),
    ("upper", str.upper),
)
_AROUND = ("{}", "{}.", "{}!", " {}", "{}\n", "\n{}.\n", "\t{} ", "{}.\r\n")


def _word(case: Callable[[str], str], around: str, target: Target) -> str:
    return around.format(case(target.honest))


_OCT = tuple(
    Paraphrase("oct", "writing", f"{name} {around!r}", partial(_word, case, around))
    for name, case in _CASES
    for around in _AROUND
)

# VLT: how four numbers may be written, and what may stand around them.
_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("whole", "{:.0f}", ", "),
    ("no spaces", "{:.0f}", ","),
    ("wide spaces", " {:.0f} ", ","),
    ("one decimal", "{:.1f}", ", "),
    ("two decimals", "{:.2f}", ", "),
    ("lines", "\n  {:.0f}", ","),
)
_WRAPPERS = (
    "[{}]",
    "({})",
    "[[{}]]",
    "Here it is: [{}].",
    "[{}] is its box.",
    "```\n[{}]\n```",
    "```json\n[{}]\n```",
    '{{"bbox_2d": [{}]}}',
    '[{{"bbox_2d": [{}]}}]',
    '{{"bbox_2d": [{}], "label": "it"}}',
    '{{"label": "it", "bbox_2d": [{}]}}',
    '```json\n{{"bbox_2d": [{}]}}\n```',
    '```json\n[\n  {{"bbox_2d": [{}], "label": "it"}}\n]\n```',
    '{{"bbox": [{}]}}',
    '{{"box": [{}]}}',
    'The box is {{"bbox_2d": [{}]}}',
)


def _edges(target: Target) -> list[float]:
    """The true box in thousandths of the photo, which is what Qwen3-VL writes."""
    size = target.row["images"][-1]
    box = Box.of(target.row["box"])
    across, down = 1000 / size["width"], 1000 / size["height"]
    return [box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down]


def _box(target: Target, number: str, comma: str, wrapper: str) -> str:
    return wrapper.format(comma.join(number.format(edge) for edge in _edges(target)))


_VLT = (
    *(
        Paraphrase("vlt", "notation", f"{name} {w!r}", partial(_box, number=n, comma=c, wrapper=w))
        for name, n, c in _NUMBERS
        for w in _WRAPPERS
    ),
    Paraphrase(
        "vlt",
        "notation",
        "two corners",
        lambda t: "({:.0f},{:.0f}),({:.0f},{:.0f})".format(*_edges(t)),
    ),
)

# Captions: sentence shapes, ways to write a name, ways to begin and to end.
_NAMES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("tags", "<{}>".format),
    ("plain", "{}".format),
    ("quoted", '"{}"'.format),
    ("spaced tags", "< {} >".format),
)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _short(thing: SceneObject, write: Callable[[str], str]) -> str:
    return write(thing.name) if thing.name else thing.with_article


def _long(thing: SceneObject, write: Callable[[str], str]) -> str:
    return f"{write(thing.name)} (the {thing.phrase})" if thing.name else thing.with_article


def _sentence(thing: SceneObject, text: str, write: Callable[[str], str]) -> str:
    if not thing.name:
        return f"There is {thing.with_article}."
    return text.format(n=write(thing.name), d=thing.phrase, a=thing.with_article)


# Whole captions: {short}, {long}, {back} list what is there, {sentences} has one sentence for each.
_SHAPES: dict[str, tuple[str, str]] = {
    "a list": ("", "This picture shows {long} {place}."),
    "place first": ("", "{Place} we see {long}."),
    "reversed": ("", "{Place}: {back}."),
    "is the": ("{n} is the {d}.", "{sentences} All of it is {place}."),
    "is a": ("{n} is {a}.", "{sentences} They are {place}."),
    "who is": ("{n}, who is the {d}, is here.", "{sentences} The place: {place}."),
    "named": ("There is {a} named {n}.", "{sentences} It was taken {place}."),
    "before the name": ("Here is the {d} {n}.", "{sentences} Everything is {place}."),
    "is the name": ("The {d} is {n}.", "{sentences} This was photographed {place}."),
    "apposition": ("{n}, the {d}, can be seen.", "{sentences} One sees it {place}."),
    "possessive": ("This is {n}'s place: {a}.", "{sentences} That is {place}."),
    "typographic": ("Here\u2019s {n}\u2019s picture, {a}.", "{sentences} It is {place}."),
    "you can see": ("You can see {n}, which is {a}.", "{sentences} They stand {place}."),
    "lines": ("- {n}: {a}", "{lines}\n- where: {place}"),
    "exclamation": ("Look, {n}! It is {a}.", "{sentences} And all {place}!"),
    "semicolons": ("{n} is {a};", "{sentences} the whole is {place}."),
}
_ENDS = ("{}", "{} It is a nice photo.", "Well, here goes. {}", "{}\n")


def _caption(target: Target, shape: str, write: Callable[[str], str], end: str) -> str | None:
    listed, where = scene_objects(target.row), location_phrase(target.row)
    if not listed or not where:
        return None
    each, whole = _SHAPES[shape]
    sentences = [_sentence(thing, each, write) for thing in listed]
    text = whole.format(
        long=_listed([_long(thing, write) for thing in listed]),
        back=_listed([_long(thing, write) for thing in reversed(listed)]),
        place=where,
        Place=where[:1].upper() + where[1:],
        sentences=" ".join(sentences),
        lines="\n".join(sentences),
    )
    return end.format(text)


def _rewritten(target: Target, change: Callable[[str], str]) -> str:
    return change(target.honest)


_CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("plain names", lambda text: re.sub("[<>]", "", text)),
    ("bold names", lambda text: re.sub("<([^<>]+)>", r"**\1**", text)),
    ("quoted names", lambda text: re.sub("<([^<>]+)>", r'"\1"', text)),
    ("small letters", str.lower),
    ("capitals", str.upper),
    ("line breaks", lambda text: text.replace(", ", ",\n")),
    ("no full stop", lambda text: text.rstrip(".")),
    ("white space", lambda text: f"\n  {text}  \n"),
    ("an introduction", lambda text: f"In the last picture: {text}"),
    ("a remark", lambda text: f"{text} The light is soft and the mood is calm."),
    ("dashes", lambda text: text.replace(" on ", " \u2014 on ")),
    ("exclamation", lambda text: f"{text.rstrip('.')}!"),
    ("markdown", lambda text: f"**Caption.** {text}"),
    ("quotation", lambda text: f'"{text}"'),
    ("double spaces", lambda text: text.replace(" ", "  ")),
    ("a question", lambda text: f"What do we see? {text}"),
)
_CAPTIONS = (
    *(Paraphrase("ict", "writing", n, partial(_rewritten, change=c)) for n, c in _CHANGES),
    *(
        Paraphrase(
            "ict",
            "shape",
            f"{shape}, {name}, {end!r}",
            partial(_caption, shape=shape, write=write, end=end),
        )
        for shape in _SHAPES
        for name, write in _NAMES
        for end in (_ENDS if name == "tags" else _ENDS[:1])
    ),
)

_WRITTEN = ("<{}>", "{}", "<{}>.", "{}.", " {}\n", "{}!", "< {} >", "\n<{}>")


def _name(target: Target, written: str) -> str:
    if target.honest == NONE:
        return written.replace("<", "").replace(">", "").format(NONE)
    return written.format(target.honest[1:-1])


_WHICH = tuple(Paraphrase("which", "writing", repr(w), partial(_name, written=w)) for w in _WRITTEN)
