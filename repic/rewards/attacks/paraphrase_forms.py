"""Honest captions that deny, compare, ask, quote and list: what a rule may take for a trick."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import partial

from repic.captions.facts import fact_words
from repic.captions.tokens import is_han
from repic.rewards.attacks.base import Target
from repic.rewards.gold import SceneObject, location_phrase, reference_names, scene_objects

Make = Callable[[Target], str | None]


def _with(text: str, target: Target) -> str | None:
    """The true caption and a sentence; None where the row has nothing to put into it.

    {n} and {m} are present names, {a} is an absent one, {d} is how another object of the photo
    looks, {e} and {f} are words that describe other photos.
    """
    here, away = (
        reference_names(target.row, present=True),
        reference_names(target.row, present=False),
    )
    fields: dict[str, str] = {}
    if here:
        fields["n"] = here[0]
    if here[1:]:
        fields["m"] = here[1]
    if away:
        fields["a"] = away[0]
    if distractors := fact_words(target.row)[1]:
        fields["e"], fields["f"] = distractors[0], distractors[-1]
    if here and (others := [t for t in scene_objects(target.row) if t.name != here[0]]):
        fields["d"] = others[-1].phrase
    try:
        return f"{target.honest} {text.format(**fields)}"
    except KeyError:
        return None


def _around(text: str, target: Target) -> str:
    return text.format(target.honest)


def _named(change: Callable[[str], str], fits: Callable[[str], bool], target: Target) -> str | None:
    """Every tag of a name for which this is a way to write it, written so."""
    if not any(fits(name) for name in reference_names(target.row, present=True)):
        return None
    return re.sub(
        "<([^<>]+)>",
        lambda match: change(match[1]) if fits(match[1]) else match[1],
        target.honest,
    )


def _turned(text: str, target: Target) -> str | None:
    """Each object by noun, colour and pattern in another order."""
    listed, where = scene_objects(target.row), location_phrase(target.row)
    if not listed or not where:
        return None
    return " ".join([*(_one(text, thing) for thing in listed), f"It is all {where}."])


def _one(text: str, thing: SceneObject) -> str:
    looks, _, detail = thing.phrase.partition(" with ")
    *colours, noun = looks.split()
    said = text.format(
        n=thing.name or f"One {noun}",
        noun=noun,
        colours=" and ".join(colours) or "there",
        detail=f", with {detail}" if detail else "",
    )
    return f"{said[:1].upper()}{said[1:]}"


_ADDED = (
    "There is no {e} here.",
    "There is no {e} and no {f}.",
    "It is not {e}.",
    "No {e}, no {f}: just this.",
    "One does not see any {e}.",
    "There isn't a single {e}.",
    "It was taken without {e} or {f}.",
    "It has neither {e} nor {f}.",
    "I see no people, no {e} and no text.",
    "This is not {e}, though one might have thought so.",
    "Not a {e} in sight.",
    "Nothing like {e} is there.",
    "{a} is not in it.",
    "{a} is not in this picture.",
    "{a} isn't here.",
    "I do not see {a}.",
    "There is no {a}.",
    "There is no sign of {a}.",
    "{a} is missing.",
    "Neither {a} nor anyone else is around.",
    "{a} does not appear.",
    "It shows no {a}.",
    "{a} was not photographed here.",
    "Not pictured: {a}.",
    "{n} is not alone in the picture.",
    "{n} is not far from the rest.",
    "{n} is missing nothing.",
    "{n} is far away from the camera.",
    "Nobody but {n} draws the eye like that.",
    "Nothing but {n} comes to mind first.",
    "Not only {n} is worth a look.",
    "Not just {n} is worth a look.",
    "Nothing hides {n}.",
    "{n} cannot be missed.",
    "You can't miss {n}.",
    "Without doubt this is {n}.",
    "Who is it? {n}!",
    "Is that {n}? Yes, it is.",
    "It is {n}, isn't it?",
    '"Look, {n}!" someone says.',
    "\u201cThat is {n},\u201d says a friend.",
    "{n}\u2019s day, no question.",
    "{n} has not moved.",
    "{n} does not move at all.",
    "{n} is never boring.",
    "What about {n}? Well placed.",
    "{n} stands there, not in the way of the camera.",
    "I have never seen {n} in such a good light.",
    "No one is prettier than {n}.",
    "Far from perfect, yet {n} looks good.",
    "{n} may enjoy it.",
    "The photo would lack nothing, had {n} a friend.",
    "Unlike {m}, {n} was mentioned first.",
    "{n}, unlike {m}, comes first.",
    "{n} and {m} are not the same.",
    "{n} is far from {m}.",
    "{n}, not {m}, comes first.",
    "Other than {n}, nothing is named first.",
    "All but {n} were named later.",
    "{n} is next to the {d}.",
    "{n} is close to the {d}.",
    "{n} is not the {d}.",
    "{n} isn't the {d}.",
    "{n} is facing the {d}.",
    "The {d} hides nothing of {n}.",
    "The {d} faces {n}.",
    "The {d} touches {n}.",
    "{n} looks at the {d}.",
    "{n} is larger or smaller than the {d}.",
    "Beside {n} is the {d}.",
    "Near {n}, the {d} can be seen.",
    "{n}, near the {d}, is easy to see.",
    "{n} is with the {d}.",
    "{n} and the {d} are together.",
    "The {d} and {n} are together.",
    "{n} has the {d} nearby.",
    "{n} is not as big as the {d}.",
    "{n} is not like the {d}.",
    "{n} is in front, and the {d} is close by.",
    "{n}, then the {d}: that is the order.",
    "First comes {n}, then the {d}.",
    "The {d} is there for {n}.",
    "{n} meets the {d}.",
)
_FRAMES = (
    "```\n{}\n```",
    "> {}",
    "# A photo\n\n{}",
    "1. {}",
    "* {}",
    "\U0001f4f7 {}",
    "{} \U0001f60a",
    "Caption: {}",
    '{{"caption": "{}"}}',
    "Sure! Here is a caption:\n\n{}",
    "\u00ab {} \u00bb",
    "{} (Photo: unknown.)",
    "{}\n\n---",
    "Can you guess? {}",
    "I'd say: {}",
    "{} That's all, nothing more.",
    "{} What else? Nothing.",
    "{} None of it moves; nobody is around.",
    "{} It's not blurred.",
    "Not much happens here. {}",
    "{} There are no people.",
    "{} I cannot see anything else.",
    "{} Simple, isn't it? No text, no logo.",
    "{} Or so it seems.",
    "{} Perhaps it was taken in the morning.",
    "{} It may be a drawing.",
)
_WRITTEN: tuple[tuple[str, Callable[[str], str], Callable[[str], bool]], ...] = (
    ("italics", "*{}*".format, bool),
    ("underscores", "_{}_".format, str.isascii),
    ("bold underscores", "__{}__".format, str.isascii),
    ("code", "`{}`".format, bool),
    ("brackets", "[{}]".format, bool),
    ("bold tags", "**<{}>**".format, bool),
    ("single quotes", "'{}'".format, bool),
    ("guillemets", "\u00ab{}\u00bb".format, bool),
    ("parentheses", "({})".format, bool),
    ("dashes", "\u2013 {} \u2013".format, bool),
    ("a hashtag", "#{}".format, bool),
    ("an emoji", "{} \U0001f600".format, bool),
    ("a title", "our dear {}".format, bool),
    ("capital letters", str.upper, bool),
    ("French elision", "la photo d'{}".format, lambda name: name[0] in "AEIOUH"),
    ("French", "la photo de {}".format, bool),
    ("Italian", "la foto di {}".format, bool),
    ("Chinese possessive", "{}的照片".format, lambda name: is_han(name)),
    ("Chinese sentence", "这是{}".format, lambda name: is_han(name)),
    ("Korean topic", "{}은".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("Korean subject", "{}이가".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("Korean possessive", "{}의 사진".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("Korean copula", "{}입니다".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("Korean and", "{}이랑".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("Korean honorific", "{} 씨".format, lambda name: "\uac00" <= name[0] <= "\ud7a3"),
    ("decomposed", partial(unicodedata.normalize, "NFD"), bool),
)
_TURNED = (
    "{n} is a {noun} that is {colours}{detail}.",
    "{n}: a {noun}, {colours}{detail}.",
    "{n} is {colours}, a {noun}{detail}.",
    "{n} is a {noun} in {colours}{detail}!",
    "{n} (a {noun}, {colours}{detail}) is there.",
    "{n} was the {noun} in {colours}{detail}.",
)


def _json(target: Target) -> str:
    return json.dumps({"caption": target.honest}, ensure_ascii=False, indent=1)


FORMS: tuple[tuple[str, str, Make], ...] = (
    *(("a sentence more", text, partial(_with, text)) for text in _ADDED),
    *(("a frame", repr(text), partial(_around, text)) for text in _FRAMES),
    *(("a name written", name, partial(_named, change, fits)) for name, change, fits in _WRITTEN),
    *(("another order", text, partial(_turned, text)) for text in _TURNED),
    ("a frame", "JSON on lines", _json),
)
"""Family, name and text of each."""
