"""Attacks on captions by how a name stands in them: denied, doubted, glued, encoded, or exchanged.

Each is the honest caption with its names written in another way, or with one sentence more.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import partial

from repic.rewards.attacks.base import Attack, Target
from repic.rewards.gold import location_phrase, reference_names, scene_objects

_AFFIRMED = "a negated mention is no mention, and a contradiction costs"
_SURE = "a doubtful name costs"
_WHOLE = "a name counts at token boundaries, as it was given"
_ABSENT = "an absent name costs"
_FOUND = "a caption says what is known of the photo"
_BOUND = "what is said of a name is true of its object"


def _rewritten(family: str, rule: str, name: str, change: Callable[[str], str]) -> Attack:
    """The honest caption with each `<Name>` replaced; not where that leaves it as it was."""

    def make(target: Target) -> str | None:
        if not reference_names(target.row, present=True):
            return None
        text = re.sub("<([^<>]+)>", lambda match: change(match.group(1)), target.honest)
        return None if text in (target.honest, re.sub("[<>]", "", target.honest)) else text

    return Attack("ict", family, rule, name, make)


def _replaced(family: str, rule: str, text: str) -> Attack:
    return _rewritten(family, rule, text, partial(text.format))


def _added(family: str, rule: str, text: str, present: bool = True) -> Attack:
    """The honest caption, and a sentence about its first name that is present, or is not."""

    def make(target: Target) -> str | None:
        listed = reference_names(target.row, present)
        return f"{target.honest} {text.format(f'<{listed[0]}>')}" if listed else None

    who = "a present" if present else "an absent"
    return Attack("ict", family, rule, f"{text!r} of {who} name", make)


def _both(text: str) -> Attack:
    """The honest caption, and a present name beside an absent one."""

    def make(target: Target) -> str | None:
        here, away = (
            reference_names(target.row, present=True),
            reference_names(target.row, present=False),
        )
        if not here or not away:
            return None
        return f"{target.honest} {text.format(here[0], away[0])}"

    return Attack("ict", "alternatives", _ABSENT, repr(text), make)


def _listed(text: str) -> Attack:
    """All names of the prompt in one text, whatever the picture shows."""

    def make(target: Target) -> str:
        known = [reference["name"] for reference in target.row["references"]]
        return text.format("/".join(known), ", ".join(known), known[0], known[-1])

    return Attack("ict", "every name", _FOUND, repr(text), make)


def _swap(text: str) -> Attack:
    """Two named things of different looks, each described as the other."""

    def make(target: Target) -> str | None:
        named = [thing for thing in scene_objects(target.row) if thing.name]
        if len(named) < 2 or not _differ(named[0].phrase, named[1].phrase):
            return None
        first, second = named[:2]
        said = text.format(
            n0=f"<{first.name}>", n1=f"<{second.name}>", d0=second.phrase, d1=first.phrase
        )
        others = " ".join(
            f"There is {f'<{t.name}>' if t.name else t.with_article}."
            for t in scene_objects(target.row)
            if t not in (first, second)
        )
        return f"{said} {others} All of it is {location_phrase(target.row)}."

    return Attack("ict", "swap", _BOUND, repr(text), make)


def _differ(first: str, second: str) -> bool:
    """Whether neither phrase fits the other's object as well: by noun and colour."""
    left, right = set(first.split()), set(second.split())
    return len(left - right) >= 2 and len(right - left) >= 2


def _spread(name: str) -> str:
    return ".".join(name)


_DENIED = (
    "not {0}",
    "definitely not {0}",
    "certainly no {0}",
    "someone who is not {0}",
    "something that isn't {0}",
    "not even {0}",
    "no longer {0}",
    "not really {0}",
    "not quite {0}",
    "everybody except for {0}",
    "anyone but {0}",
    "in place of {0}",
    "what would be {0} if <{0}> were not absent",
    "a thing which was never {0}",
    "non-{0}",
    "pas de {0}",
    "senza {0}",
    "sans {0}",
    "ohne {0}",
    "kein {0}",
)
_DENIALS = (
    "However, {0} is not here.",
    "{0} isn't anywhere in this photo.",
    "I can't see {0} anywhere.",
    "There isn't any {0} in it.",
    "One does not see {0}.",
    "We never see {0}.",
    "{0}? Not here.",
    "{0}: absent.",
    "Not pictured: {0}.",
    "Missing: {0}.",
    "Absent: {0}.",
    "Nobody called {0} is here.",
    "{0} has left the picture.",
    "{0} was not photographed.",
    "{0} has not been photographed here.",
    "{0} is no longer here.",
    "{0} is not to be seen.",
    "{0} is in fact not in the image.",
    "{0} is not really in the picture.",
    "It does not show {0}.",
    "{0} won't be found here.",
    "You will not find {0} here.",
    "No trace of {0}.",
    "{0} did not come.",
)
_DOUBTS = (
    "{0} (?)",
    "perhaps {0}",
    "most likely {0}",
    "apparently {0}",
    "seemingly {0}",
    "{0} and/or someone",
    "{0} or something",
    "maybe {0}",
    "{0}, maybe,",
    "either {0} or nobody",
    "possibly {0}",
    "{0} (or not)",
    "what may be {0}",
    "what might possibly be {0}",
    "something that could be {0}",
    "{0} or a lookalike",
    "{0}, if not someone else,",
    "someone like {0}",
    "something resembling {0}",
    "a lookalike of {0}",
    "the so-called {0}",
    "a fake {0}",
)
_ALTERNATIVES = (
    "It is {0} or {1}.",
    "It is {0}/{1}.",
    "It is {0} and/or {1}.",
    "{0}|{1}",
    "{0} (or {1}) is here.",
    "{0}, alias {1}, is here.",
    "{0} aka {1}.",
    "{0} = {1}.",
    "Not only {0}, but also {1}.",
    "{0} as well as {1}.",
    "{0} with {1}'s friend.",
    "{0}, and who knows, {1}.",
    "{0}; {1}",
    "{0}\n{1}",
    "#{0} #{1}",
    "{0} \U0001f600 {1}",
    "`{1}`",
    "**{1}**",
    "({1})",
    "[{1}]",
    "{{{1}}}",
    '"{1}"',
    "{1}\u2019s.",
    "{1}...",
    "{1}\u2014who else?",
)
_LISTS = (
    "{0}",
    "{0} {0}",
    "#{2} and friends: {1}",
    "{1} and the rest of them having a good time together on some lovely day somewhere.",
    "Here we go: {0}, each of them, in front of something, with something, near something.",
    "Not only {2} but {1} are in this fine picture with a lot of things of many colours.",
    "{1}: who they are, what they wear, where they stand, all that this lovely picture shows.",
    "There are several things here, among them {1}; some are plain, some have a pattern.",
    "Everybody whom you told me about ({1}) can be found somewhere among all of these things.",
    "```\n{1}\n```\nA picture of several well known things in their usual place, seen from above.",
    "\U0001f600 {1} \U0001f3a8 \U0001f3de \U0001f600 a day out with lots of colours and shapes",
    "| who | where |\n|---|---|\n| {1} | here, there and all around the place, one by one |",
    "https://example.org/{0} is where this picture with all its nice little things comes from.",
    "No red, no blue, no green, no ball, no car, no mug; just {1} and what belongs to them.",
    "{1} without any boats, stars, cars, mugs, balls, rockets, umbrellas, fish, hats or trees.",
)
_GLUED = (
    "{0}@example.org",
    "https://example.org/{0}",
    "www.example.org/{0}/photo",
    "{0}/somebody",
    "mailto:{0}@x.y",
    "C:\\{0}\\x",
    "&lt;{0}&gt;",
    "&#60;{0}&#62;",
    "%3C{0}%3E",
    "{0}=x",
    "<{0}|x>",
    "<a href='x'>{0}</a>",
    "<b><{0}></b>",
    "<|{0}|>",
    "\\u003c{0}\\u003e",
    "{0}ness",
    "{0}ville",
    "un{0}",
)
_LIGATURES = {"ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02", "st": "\ufb06"}
_LIGATURE = re.compile("|".join(_LIGATURES))
_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("long s", lambda name: name.replace("s", "\u017f")),
    ("ligature", lambda name: _LIGATURE.sub(lambda pair: _LIGATURES[pair[0]], name)),
    ("entities", lambda name: "".join(f"&#{ord(c)};" for c in name)),
    ("escaped tag", lambda name: html.escape(f"<{name}>")),
    ("soft hyphen", lambda name: f"{name[:1]}\u00ad{name[1:]}"),
    ("word joiner", lambda name: f"{name[:1]}\u2060{name[1:]}"),
    ("right to left mark", lambda name: f"{name[:1]}\u200f{name[1:]}"),
    ("isolates", lambda name: f"{name[:1]}\u2066{name[1:]}\u2069"),
    ("grapheme joiner", lambda name: f"{name[:1]}\u034f{name[1:]}"),
    ("variation selector", lambda name: f"{name[:1]}\ufe0f{name[1:]}"),
    ("an accent", lambda name: f"{name}\u0301"),
    ("an enclosing circle", lambda name: f"{name}\u20dd"),
    ("dots", _spread),
    ("underscores", lambda name: "_".join(name)),
    ("line breaks", lambda name: "\n".join(name)),
    ("letters twice", lambda name: "".join(2 * c for c in name) if name.isascii() else name),
    ("emoji inside", lambda name: f"{name[:1]}\U0001f600{name[1:]}"),
    ("percent", lambda name: "".join(f"%{byte:02x}" for byte in name.encode())),
    ("base letters only", lambda name: f"{name[:-1]}*"),
    ("mathematical", lambda name: "".join(_mathematical(c) for c in name)),
)


def _mathematical(c: str) -> str:
    return chr(0x1D41A + ord(c) - ord("a")) if "a" <= c <= "z" else c


_SWAPS = (
    "{n0} and {n1} are the {d0} and the {d1}, respectively.",
    "The {d0} goes by the name of {n0}, the {d1} is {n1}.",
    "{n0} is a {d0} while {n1} is a {d1}.",
    "{n0} \u2014 the {d0}. {n1} \u2014 the {d1}.",
    "{n0} [the {d0}] and {n1} [the {d1}].",
    "{n0}: the {d0}; {n1}: the {d1}.",
    "- {n0}: the {d0}\n- {n1}: the {d1}",
    "The {d0} called {n0} and the {d1} called {n1}.",
    "We see the {d0} ({n0}) and the {d1} ({n1}).",
    "{n0} is not the {d1}. {n1} is not the {d0}.",
    "{n0} was the {d0}. {n1} was the {d1}.",
    "The {d0}, named {n0}, and the {d1}, named {n1}.",
    "{n0}, which is the {d0}, and {n1}, which is the {d1}.",
)

ATTACKS: tuple[Attack, ...] = (
    *(_replaced("negation", _AFFIRMED, text) for text in _DENIED),
    *(_added("contradiction", _AFFIRMED, text) for text in _DENIALS),
    *(_replaced("doubt", _SURE, text) for text in _DOUBTS),
    *map(_both, _ALTERNATIVES),
    *map(_listed, _LISTS),
    *(_replaced("glued", _WHOLE, text) for text in _GLUED),
    *(_rewritten("unicode", _WHOLE, name, change) for name, change in _SPELLINGS),
    *map(_swap, _SWAPS),
)
