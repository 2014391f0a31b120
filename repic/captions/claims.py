"""Whether the right name is on the right object: what a caption says of each name, checked.

Where the row knows the objects of the photo, with labels and phrases, each description that the
caption ties to a name is compared with that object and with the others. Claims are read from few
forms whose meaning is not in doubt:

- `Ann is the red mug`, `Ann, who is a red mug`, `Ann (the red mug)`, `Ann has a bow`;
- `the red mug Ann`, `a red mug named Ann`, `the red mug is Ann`;
- `Ann, the red mug, ...`: as this may also list a thing beside Ann, it counts against the caption
  only if that thing has a name of its own here, or if Ann's own description stands elsewhere;
- `Ann is left of Bob`, `Ann on the left and Bob on the right`, and the same with above and below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from repic.captions.tokens import STOP, stem, stems
from repic.images.coordinates import Box

_ENDING = """
and while but next beside near behind above below under over on in at against from by to of
between along together alongside opposite than like unlike toward towards around across past
through inside within beyond facing touching holding beneath underneath amid among close far away ;
"""
_BREAKS = frozenset(_ENDING.split())
"""Words that end a description: what follows is about something else, or about the place."""

_TENUOUS = frozenset(("has", "wears", "wearing", "with"))
_LINKS = _TENUOUS | {"is", "was", "are", "isn't", "wasn't", "named", "called", "being", "looks"}
REACH = 60
"""Words on either side of a name that may describe it; more would take quadratic time."""

_PLACES = _BREAKS - {"and", "while", "but", ";", "like", "unlike", "than"}
_NAMING = frozenset(("is", "was", "are", "named", "called", "name", "of", "known", "as", "being"))
_DENIALS = frozenset(("not", "no", "never", "isn't", "wasn't", "aren't", "nor", "neither"))
_SKIPPED = frozenset(
    ("who", "which", "that", "as", "known", "here", "also", "a", "an", "the", "one")
)
_BESIDE = re.compile(
    r"@(\d+) (?:\w+ ){0,4}?(left|right) (?:side )?of (?:the )?@(\d+)"
    r"|@(\d+) (?:\w+ ){0,3}?(above|below|under|over) (?:the )?@(\d+)"
)
_SIDES = re.compile(
    r"@(\d+) (?:\w+ ){0,3}?on the (left|right)(?: side)?(?: ,)? (?:and|while|with) "
    r"(?:\w+ ){0,2}?@(\d+) (?:\w+ ){0,3}?on the (left|right)"
)


@dataclass(frozen=True)
class Claims:
    """How many claims about named objects a caption makes, by whether they are true."""

    right: int
    wrong: int

    @property
    def score(self) -> float | None:
        """Share of right ones; None where nothing is claimed that can be checked."""
        count = self.right + self.wrong
        return self.right / count if count else None


@dataclass(frozen=True)
class _Thing:
    place: str | None
    words: frozenset[str]
    label: frozenset[str]
    is_described: bool
    box: Box
    own: frozenset[str] = frozenset()
    """Words that fit no other thing here."""


def claims(said: Sequence[str], row: Mapping[str, Any]) -> Claims | None:
    """Check what a caption says of each name.

    Args:
        said: Its tokens; see `repic.captions.mentions.Reading.said`.
        row: A row of the examples table.

    Returns:
        None where the row knows too little: fewer than two objects, or none that has a name.
    """
    scene = row.get("scene") or ()
    if len(scene) < 2 or not any(thing["name"] for thing in scene):
        return None
    things = _things(
        tuple((t["name"], t["label"], tuple(t["phrases"]), tuple(t["box"])) for t in scene),
        tuple(reference["name"] for reference in row["references"]),
    )
    verdicts = [
        verdict for sentence in _sentences(said) for verdict in _about_looks(sentence, things)
    ]
    verdicts += _about_places(" ".join(said), {t.place: t for t in things if t.place})
    return Claims(sum(verdicts), len(verdicts) - sum(verdicts))


@lru_cache(maxsize=1024)
def _things(
    scene: tuple[tuple[str | None, str, tuple[str, ...], tuple[float, ...]], ...],
    names: tuple[str, ...],
) -> tuple[_Thing, ...]:
    places = {name: f"@{place}" for place, name in enumerate(names)}
    things = [
        _Thing(
            places.get(name) if name else None,
            stems(label).union(*map(stems, phrases)),
            stems(label),
            bool(phrases),
            Box.of(box),
        )
        for name, label, phrases, box in scene
    ]
    return tuple(
        replace(t, own=t.words.difference(*(o.words for o in things if o is not t))) for t in things
    )


def _sentences(said: Sequence[str]) -> Iterator[list[str]]:
    """Sentences that name somebody."""
    sentence: list[str] = []
    for token in (*said, "."):
        if token in ".!?;\n\u3002\uff01\uff1f":
            if any(word[0] == "@" for word in sentence):
                yield sentence
            sentence = []
        else:
            sentence.append(token)


def _about_looks(sentence: list[str], things: Sequence[_Thing]) -> Iterator[bool]:
    if "respectively" in sentence:
        yield from _in_turn(sentence, things)
        return
    named = frozenset(token for token in sentence if token[0] == "@")
    by_place = {thing.place: thing for thing in reversed(things)}
    for start, token in enumerate(sentence):
        own = by_place.get(token)
        if own is None:
            continue
        after, is_firm = _after(sentence, start, own, things)
        if after and (verdict := _verdict(after, own, things)) is not None:
            if verdict or is_firm or _is_swap(after, own, things, named, sentence, start):
                yield verdict
            continue
        before = _before(sentence, start, things)
        if before and (verdict := _verdict(before, own, things)) is not None:
            yield verdict


def _after(
    sentence: list[str], start: int, own: _Thing, things: Sequence[_Thing]
) -> tuple[list[str], bool]:
    """The description that follows a name, and whether it can only be about it."""
    rest = sentence[start + 1 : start + 1 + REACH]
    words = [word for word in rest[:5] if word not in _SKIPPED]
    mark = words[0] if words else ""
    link = words[1] if mark == "," and words[1:] else mark
    is_firm = link in _LINKS or mark == "(" or (mark == ":" and _is_phrase(rest))
    if mark == ":" and not is_firm:
        return [], False
    is_tenuous = link in _TENUOUS
    if mark in _LINKS and start and sentence[start - 1] in _PLACES:
        return [], False  # "beside Ann is the red mug"
    if mark == "," and not is_firm and rest[1:2] and rest[1][0] == "@":
        return [], False
    if mark != "," and not is_firm and rest[:1] not in (["the"], ["a"], ["an"]):
        return [], False
    chunk: list[str] = []
    for place, token in enumerate(rest):
        if token in (",", "(", ":") and not chunk:
            continue
        if token[0] == "@" or token in ",():" or (token in ("and", "while") and not chunk):
            break
        if token in _BREAKS or (token == "with" and chunk):
            tail = rest[place + 1 : place + 6]
            is_joint = token == "with" and _LINKS.issuperset(chunk)
            if token not in ("and", "with") or is_joint or _has_label_of_another(tail, own, things):
                break
        chunk.append(token)
    if is_tenuous and _has_label(chunk, things):
        return [], False
    return chunk, is_firm or mark != ","


def _before(sentence: list[str], start: int, things: Sequence[_Thing]) -> list[str]:
    """The description right before a name: `the red mug Ann`, `the red mug is Ann`."""
    chunk: list[str] = []
    if sentence[start - 1 : start] == ["("] and sentence[start + 1 : start + 2] == [")"]:
        start -= 1
    for token in reversed(sentence[max(0, start - REACH) : start]):
        if token == "," and chunk and set(chunk) <= _NAMING:
            continue
        if token[0] == "@" or token in ",():":
            break
        if token in ("and", "while", "but"):
            # "with a bow and a crown" goes on, "a car and a mug" does not
            if not chunk or _has_label(chunk, things):
                break
        elif token in _BREAKS:
            # "left of the red mug Ann stands" says nothing of how Ann looks
            return []
        chunk.append(token)
    # "the red mug hides Ann": what stands right before a name that it describes is a part of the
    # description, or says that it is a name.
    if chunk and not (chunk[0] in _NAMING or _fits_any(chunk[0], things)):
        return []
    return chunk[::-1]


def _in_turn(sentence: list[str], things: Sequence[_Thing]) -> Iterator[bool]:
    """`Ann and Bob are the red mug and the blue car, respectively`."""
    last = max((i for i, token in enumerate(sentence) if token[0] == "@"), default=0)
    named = [token for token in sentence if token[0] == "@"]
    parts: list[list[str]] = [[]]
    for token in sentence[last + 1 : sentence.index("respectively")]:
        if token in (",", "and") and _has_label(parts[-1], things):
            parts.append([])
        else:
            parts[-1].append(token)
    parts = [part for part in parts if _has_label(part, things)]
    by_place = {thing.place: thing for thing in things}
    if len(parts) == len(named):
        for place, part in zip(named, parts, strict=True):
            if (
                place in by_place
                and (verdict := _verdict(part, by_place[place], things)) is not None
            ):
                yield verdict


def _is_phrase(rest: Sequence[str]) -> bool:
    """Whether `: the red mug` follows, and no clause of its own as in `: the red mug is near`."""
    return rest[1:2] in (["the"], ["a"], ["an"]) and not {"is", "are", "stands", "lies"} & set(rest)


def _fits_any(word: str, things: Sequence[_Thing]) -> bool:
    return any(stem(word) in thing.words for thing in things)


def _has_label(words: Iterable[str], things: Sequence[_Thing]) -> bool:
    said = {stem(word) for word in words}
    return any(said & thing.label for thing in things)


def _has_label_of_another(words: Iterable[str], own: _Thing, things: Sequence[_Thing]) -> bool:
    said = {stem(word) for word in words}
    return any(said & (thing.label - own.label) for thing in things if thing is not own)


def _fit(said: frozenset[str], thing: _Thing) -> int:
    return len(said & thing.words)


def _said(words: Iterable[str]) -> frozenset[str]:
    return frozenset(stem(word) for word in words if word not in STOP)


def _verdict(words: list[str], own: _Thing, things: Sequence[_Thing]) -> bool | None:
    """Whether a description fits the object better than any other; None where it says nothing."""
    others = [t for t in things if t is not own and (own.is_described or t.label != own.label)]
    said = _said(words)
    mine = _fit(said, own)
    best = max((_fit(said, thing) for thing in others), default=0)
    if not _DENIALS.isdisjoint(words):
        # "Ann is not the blue car" is wrong if it is what Ann is, and else says nothing of Ann.
        return False if mine > best else None
    return None if not mine and not best else mine >= best


def _is_swap(
    words: list[str],
    own: _Thing,
    things: Sequence[_Thing],
    named: Collection[str | None],
    sentence: list[str],
    start: int,
) -> bool:
    """Whether a description after a comma is wrong even if it lists a thing of its own."""
    said = _said(words)
    fits = [(thing.place, _fit(said, thing)) for thing in things if thing is not own]
    best = max(fit for _, fit in fits)
    if all(place in named for place, fit in fits if fit == best):
        return True
    chunk_end = start + 2 + len(words)
    rest = sentence[chunk_end : chunk_end + REACH]
    return bool(own.own & {stem(word) for word in rest})


def _about_places(text: str, named: Mapping[str, _Thing]) -> Iterator[bool]:
    if " left" not in text and " right" not in text and not _HAS_HEIGHT.search(text):
        return
    for match in _BESIDE.finditer(text):
        first, relation, second = (part for part in match.groups() if part is not None)
        yield from _is_so(named.get(f"@{first}"), relation, named.get(f"@{second}"))
    for match in _SIDES.finditer(text):
        first, side, second, other_side = match.groups()
        if side != other_side:
            yield from _is_so(named.get(f"@{first}"), side, named.get(f"@{second}"))


_HAS_HEIGHT = re.compile(r" (?:above|below|under|over) ")


def _is_so(first: _Thing | None, relation: str, second: _Thing | None) -> Iterator[bool]:
    if first is None or second is None or first is second:
        return
    if relation in ("left", "right"):
        gap = second.box.x1 + second.box.x2 - first.box.x1 - first.box.x2
        yield gap > 0 if relation == "left" else gap < 0
    else:
        gap = second.box.y1 + second.box.y2 - first.box.y1 - first.box.y2
        yield gap > 0 if relation in ("above", "over") else gap < 0
