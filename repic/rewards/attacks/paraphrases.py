"""Paraphrases of honest answers: none may lose more than a little against the gold answer.

The texts are in paraphrases.yaml; this module fills them with the fields of a row.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

from repic.captions.facts import fact_words
from repic.captions.tokens import is_han
from repic.objectives.general_caption import reference_names
from repic.objectives.identify import NONE
from repic.objectives.query_view import QueryView, box_in_view
from repic.rewards.attacks.base import Paraphrase, Target
from repic.rewards.attacks.templates import load_corpus
from repic.rewards.gold import SceneObject, location_phrase, scene_objects


@cache
def all_paraphrases() -> tuple[Paraphrase, ...]:
    """Every paraphrase, in a fixed order."""
    corpus = load_corpus("paraphrases.yaml")
    return (
        *_oct(corpus["oct"]),
        *_vlt(corpus["vlt"]),
        *_captions(corpus["ict"]),
        *_which(corpus["which"]),
    )


# OCT

_CASES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("lower", str.lower),
    ("title", str.title),
    ("upper", str.upper),
)


def _oct(corpus: dict[str, Any]) -> Iterator[Paraphrase]:
    for name, case in _CASES:
        for around in corpus["around"]:
            make = partial(_word, case, around)
            yield Paraphrase("oct", "writing", f"{name} {around!r}", make)


def _word(case: Callable[[str], str], around: str, target: Target) -> str:
    return around.format(case(target.gold))


# VLT


def _vlt(corpus: dict[str, Any]) -> Iterator[Paraphrase]:
    for name, (number, separator) in corpus["numbers"].items():
        for wrapper in corpus["wrappers"]:
            make = partial(_box, number, separator, wrapper)
            yield Paraphrase("vlt", "notation", f"{name} {wrapper!r}", make)
    yield Paraphrase("vlt", "notation", "two corners", _two_corners)


def _edges(target: Target) -> list[float]:
    """The true box in thousandths of the photo, as Qwen3-VL writes it."""
    view = QueryView.of(target.row)
    return box_in_view(target.row).scale(1000 / view.width, 1000 / view.height).as_list()


def _box(number: str, separator: str, wrapper: str, target: Target) -> str:
    return wrapper.format(separator.join(number.format(edge) for edge in _edges(target)))


def _two_corners(target: Target) -> str:
    return "({:.0f},{:.0f}),({:.0f},{:.0f})".format(*_edges(target))


# Captions

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
_SUITS: dict[str, Callable[[str], bool]] = {
    "any": bool,
    "ascii": str.isascii,
    "vowel": lambda name: name[0] in "AEIOUH",
    "han": is_han,
    "hangul": lambda name: "\uac00" <= name[0] <= "\ud7a3",
}
"""Names that a spelling suits."""


def _captions(corpus: dict[str, Any]) -> Iterator[Paraphrase]:
    for name, change in _CHANGES:
        yield Paraphrase("ict", "writing", name, partial(_changed, change))
    for shape, (each, whole) in corpus["shapes"].items():
        for spelling, text in corpus["names"].items():
            for end in corpus["ends"] if spelling == "tags" else corpus["ends"][:1]:
                make = partial(_caption, each, whole, text, end)
                yield Paraphrase("ict", "shape", f"{shape}, {spelling}, {end!r}", make)
    for text in corpus["sentences"]:
        yield Paraphrase("ict", "a sentence more", text, partial(_with_sentence, text))
    for text in corpus["frames"]:
        yield Paraphrase("ict", "a frame", repr(text), partial(_framed, text))
    for name, (suits, text) in corpus["spellings"].items():
        make = partial(_spelled, text.format, _SUITS[suits])
        yield Paraphrase("ict", "a name written", name, make)
    for name, change in (
        ("capital letters", str.upper),
        ("decomposed", partial(unicodedata.normalize, "NFD")),
    ):
        yield Paraphrase("ict", "a name written", name, partial(_spelled, change, bool))
    for text in corpus["orders"]:
        yield Paraphrase("ict", "another order", text, partial(_reordered, text))
    yield Paraphrase("ict", "a frame", "JSON on lines", _json)


def _changed(change: Callable[[str], str], target: Target) -> str:
    return change(target.gold)


def _caption(each: str, whole: str, spelling: str, end: str, target: Target) -> str | None:
    """A caption of the whole photo: an entry or a sentence for each object, then its place."""
    objects, location = scene_objects(target.row), location_phrase(target.row)
    if not objects or not location:
        return None
    sentences = [_sentence(thing, each, spelling) for thing in objects]
    text = whole.format(
        long=_enumerated([_described(thing, spelling) for thing in objects]),
        back=_enumerated([_described(thing, spelling) for thing in reversed(objects)]),
        place=location,
        Place=location[:1].upper() + location[1:],
        sentences=" ".join(sentences),
        lines="\n".join(sentences),
    )
    return end.format(text)


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _described(thing: SceneObject, spelling: str) -> str:
    if not thing.name:
        return thing.with_article
    return f"{spelling.format(thing.name)} (the {thing.phrase})"


def _sentence(thing: SceneObject, text: str, spelling: str) -> str:
    if not thing.name:
        return f"There is {thing.with_article}."
    return text.format(n=spelling.format(thing.name), d=thing.phrase, a=thing.with_article)


def _with_sentence(text: str, target: Target) -> str | None:
    """The true caption and a sentence; None where the row lacks a field of it."""
    present = reference_names(target.row, present=True)
    absent = reference_names(target.row, present=False)
    fields = dict(zip("nm", present, strict=False))
    if absent:
        fields["a"] = absent[0]
    if distractors := fact_words(target.row)[1]:
        fields["e"], fields["f"] = distractors[0], distractors[-1]
    others = [thing for thing in scene_objects(target.row) if present and thing.name != present[0]]
    if others:
        fields["d"] = others[-1].phrase
    try:
        return f"{target.gold} {text.format(**fields)}"
    except KeyError:
        return None


def _framed(text: str, target: Target) -> str:
    return text.format(target.gold)


def _json(target: Target) -> str:
    return json.dumps({"caption": target.gold}, ensure_ascii=False, indent=1)


def _spelled(
    change: Callable[[str], str], suits: Callable[[str], bool], target: Target
) -> str | None:
    """Every tag whose name the spelling suits, written that way; None where it suits none."""
    if not any(suits(name) for name in reference_names(target.row, present=True)):
        return None
    return re.sub(
        "<([^<>]+)>",
        lambda match: change(match[1]) if suits(match[1]) else match[1],
        target.gold,
    )


def _reordered(text: str, target: Target) -> str | None:
    """Each object by its noun, colours and pattern, in another order."""
    objects, location = scene_objects(target.row), location_phrase(target.row)
    if not objects or not location:
        return None
    return " ".join([*(_by_parts(text, thing) for thing in objects), f"It is all {location}."])


def _by_parts(text: str, thing: SceneObject) -> str:
    looks, _, detail = thing.phrase.partition(" with ")
    *colours, noun = looks.split()
    sentence = text.format(
        n=thing.name or f"One {noun}",
        noun=noun,
        colours=" and ".join(colours) or "there",
        detail=f", with {detail}" if detail else "",
    )
    return f"{sentence[:1].upper()}{sentence[1:]}"


# `which`


def _which(corpus: dict[str, Any]) -> Iterator[Paraphrase]:
    for text in corpus["written"]:
        yield Paraphrase("which", "writing", repr(text), partial(_name, text))


def _name(text: str, target: Target) -> str:
    if target.gold == NONE:
        return text.replace("<", "").replace(">", "").format(NONE)
    return text.format(target.gold[1:-1])
