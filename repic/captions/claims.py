"""Checks whether a caption puts the right name on the right object.

If the row has the objects of the photo with their labels and phrases, each description that the
caption attaches to a name is compared with that object and with the others. Only unambiguous forms
are read:

- `Ann is the red mug`, `Ann, who is a red mug`, `Ann (the red mug)`, `Ann has a bow`;
- `the red mug Ann`, `a red mug named Ann`, `the red mug is Ann`;
- `Ann, the red mug, ...`: this may also list an object beside Ann, so it counts against the caption
  only if the caption names that object, or describes Ann in another place;
- `Ann is left of Bob`, `Ann on the left and Bob on the right`, and the same with above and below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from repic.captions.tokens import STOP_WORDS, content_stems, stem
from repic.images.coordinates import Box

_BOUNDARIES = """
and while but next beside near behind above below under over on in at against from by to of
between along together alongside opposite than like unlike toward towards around across past
through inside within beyond facing touching holding beneath underneath amid among close far away ;
"""
_BOUNDARY_WORDS = frozenset(_BOUNDARIES.split())
"""Words that end a description: what follows is about another object, or about the place."""

_POSSESSING = frozenset(("has", "wears", "wearing", "with"))
_LINKS = _POSSESSING | {"is", "was", "are", "isn't", "wasn't", "named", "called", "being", "looks"}
_WINDOW = 60
"""Tokens on either side of a name that may describe it; no limit would take quadratic time."""

_PREPOSITIONS = _BOUNDARY_WORDS - {"and", "while", "but", ";", "like", "unlike", "than"}
_NAMING = frozenset(("is", "was", "are", "named", "called", "name", "of", "known", "as", "being"))
_NEGATIONS = frozenset(("not", "no", "never", "isn't", "wasn't", "aren't", "nor", "neither"))
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
    """Number of right and of wrong claims that a caption makes about named objects."""

    right: int
    wrong: int

    @property
    def score(self) -> float | None:
        """Share of right claims, 0 to 1; None if there are none that can be checked."""
        count = self.right + self.wrong
        return self.right / count if count else None


@dataclass(frozen=True)
class _SceneObject:
    token: str | None
    """`@0` if it has the name of the first reference."""
    words: frozenset[str]
    """Stems of its label and phrases."""
    label: frozenset[str]
    has_phrases: bool
    box: Box
    unique_words: frozenset[str] = frozenset()
    """Those of `words` that no other object of the photo has."""


def check_claims(tokens: Sequence[str], row: Mapping[str, Any]) -> Claims | None:
    """Check what a caption says about each name.

    Args:
        tokens: Tokens of the caption; see `repic.captions.mentions.CaptionReading.tokens`.
        row: A row of the examples table.

    Returns:
        None if nothing can be checked: the row has fewer than two objects, or none with a name.
    """
    scene = row.get("scene") or ()
    if len(scene) < 2 or not any(entry["name"] for entry in scene):
        return None
    objects = _scene_objects(
        tuple((e["name"], e["label"], tuple(e["phrases"]), tuple(e["box"])) for e in scene),
        tuple(reference["name"] for reference in row["references"]),
    )
    verdicts = [
        verdict for sentence in _sentences(tokens) for verdict in _about_looks(sentence, objects)
    ]
    verdicts += _about_positions(" ".join(tokens), {o.token: o for o in objects if o.token})
    return Claims(sum(verdicts), len(verdicts) - sum(verdicts))


@lru_cache(maxsize=1024)
def _scene_objects(
    scene: tuple[tuple[str | None, str, tuple[str, ...], tuple[float, ...]], ...],
    names: tuple[str, ...],
) -> tuple[_SceneObject, ...]:
    tokens = {name: f"@{index}" for index, name in enumerate(names)}
    objects = [
        _SceneObject(
            tokens.get(name) if name else None,
            content_stems(label).union(*map(content_stems, phrases)),
            content_stems(label),
            bool(phrases),
            Box.of(box),
        )
        for name, label, phrases, box in scene
    ]
    return tuple(
        replace(one, unique_words=one.words.difference(*(o.words for o in objects if o is not one)))
        for one in objects
    )


def _sentences(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Sentences that mention a name."""
    sentence: list[str] = []
    for token in (*tokens, "."):
        if token in ".!?;\n\u3002\uff01\uff1f":
            if any(word[0] == "@" for word in sentence):
                yield sentence
            sentence = []
        else:
            sentence.append(token)


def _about_looks(sentence: list[str], objects: Sequence[_SceneObject]) -> Iterator[bool]:
    """Verdicts about descriptions attached to names: True for a right one."""
    if "respectively" in sentence:
        yield from _respective(sentence, objects)
        return
    named = frozenset(token for token in sentence if token[0] == "@")
    by_token = {obj.token: obj for obj in reversed(objects)}
    for start, token in enumerate(sentence):
        target = by_token.get(token)
        if target is None:
            continue
        after, is_firm = _after(sentence, start, target, objects)
        if after and (verdict := _verdict(after, target, objects)) is not None:
            if verdict or is_firm or _is_swap(after, target, objects, named, sentence, start):
                yield verdict
            continue
        before = _before(sentence, start, objects)
        if before and (verdict := _verdict(before, target, objects)) is not None:
            yield verdict


def _after(
    sentence: list[str], start: int, target: _SceneObject, objects: Sequence[_SceneObject]
) -> tuple[list[str], bool]:
    """The description that follows a name, and whether it can only be about that name."""
    rest = sentence[start + 1 : start + 1 + _WINDOW]
    words = [word for word in rest[:5] if word not in _SKIPPED]
    mark = words[0] if words else ""
    link = words[1] if mark == "," and words[1:] else mark
    is_firm = link in _LINKS or mark == "(" or (mark == ":" and _is_phrase(rest))
    if mark == ":" and not is_firm:
        return [], False
    is_possession = link in _POSSESSING
    if mark in _LINKS and start and sentence[start - 1] in _PREPOSITIONS:
        return [], False  # "beside Ann is the red mug"
    if mark == "," and not is_firm and rest[1:2] and rest[1][0] == "@":
        return [], False
    if mark != "," and not is_firm and rest[:1] not in (["the"], ["a"], ["an"]):
        return [], False
    chunk: list[str] = []
    for index, token in enumerate(rest):
        if token in (",", "(", ":") and not chunk:
            continue
        if token[0] == "@" or token in ",():" or (token in ("and", "while") and not chunk):
            break
        if token in _BOUNDARY_WORDS or (token == "with" and chunk):
            tail = rest[index + 1 : index + 6]
            is_joint = token == "with" and _LINKS.issuperset(chunk)
            if (
                token not in ("and", "with")
                or is_joint
                or _has_label_of_another(tail, target, objects)
            ):
                break
        chunk.append(token)
    if is_possession and _has_label(chunk, objects):
        return [], False
    return chunk, is_firm or mark != ","


def _before(sentence: list[str], start: int, objects: Sequence[_SceneObject]) -> list[str]:
    """The description right before a name: `the red mug Ann`, `the red mug is Ann`."""
    chunk: list[str] = []
    if sentence[start - 1 : start] == ["("] and sentence[start + 1 : start + 2] == [")"]:
        start -= 1
    for token in reversed(sentence[max(0, start - _WINDOW) : start]):
        if token == "," and chunk and set(chunk) <= _NAMING:
            continue
        if token[0] == "@" or token in ",():":
            break
        if token in ("and", "while", "but"):
            # "with a bow and a crown" is one description, "a car and a mug" is not.
            if not chunk or _has_label(chunk, objects):
                break
        elif token in _BOUNDARY_WORDS:
            # "left of the red mug Ann stands" does not say how Ann looks.
            return []
        chunk.append(token)
    # Not "the red mug hides Ann": the word right before a name belongs to a description of it only
    # if it describes an object or introduces a name.
    if chunk and not (chunk[0] in _NAMING or _fits_any(chunk[0], objects)):
        return []
    return chunk[::-1]


def _respective(sentence: list[str], objects: Sequence[_SceneObject]) -> Iterator[bool]:
    """`Ann and Bob are the red mug and the blue car, respectively`."""
    last = max((i for i, token in enumerate(sentence) if token[0] == "@"), default=0)
    named = [token for token in sentence if token[0] == "@"]
    parts: list[list[str]] = [[]]
    for token in sentence[last + 1 : sentence.index("respectively")]:
        if token in (",", "and") and _has_label(parts[-1], objects):
            parts.append([])
        else:
            parts[-1].append(token)
    parts = [part for part in parts if _has_label(part, objects)]
    by_token = {obj.token: obj for obj in objects}
    if len(parts) == len(named):
        for token, part in zip(named, parts, strict=True):
            target = by_token.get(token)
            if target is not None and (verdict := _verdict(part, target, objects)) is not None:
                yield verdict


def _is_phrase(rest: Sequence[str]) -> bool:
    """Whether a noun phrase follows, as in `: the red mug`, and not a clause."""
    return rest[1:2] in (["the"], ["a"], ["an"]) and not {"is", "are", "stands", "lies"} & set(rest)


def _fits_any(word: str, objects: Sequence[_SceneObject]) -> bool:
    return any(stem(word) in obj.words for obj in objects)


def _has_label(words: Iterable[str], objects: Sequence[_SceneObject]) -> bool:
    stems = {stem(word) for word in words}
    return any(stems & obj.label for obj in objects)


def _has_label_of_another(
    words: Iterable[str], target: _SceneObject, objects: Sequence[_SceneObject]
) -> bool:
    stems = {stem(word) for word in words}
    return any(stems & (obj.label - target.label) for obj in objects if obj is not target)


def _description_stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(stem(word) for word in words if word not in STOP_WORDS)


def _verdict(
    words: list[str], target: _SceneObject, objects: Sequence[_SceneObject]
) -> bool | None:
    """Whether a description fits the target at least as well as any other object.

    Returns:
        None if the description fits no object, so that there is nothing to check.
    """
    others = [
        obj
        for obj in objects
        if obj is not target and (target.has_phrases or obj.label != target.label)
    ]
    stems = _description_stems(words)
    fit = len(stems & target.words)
    best = max((len(stems & obj.words) for obj in others), default=0)
    if not _NEGATIONS.isdisjoint(words):
        # "Ann is not the blue car" is wrong if Ann is the blue car; otherwise it is not a claim.
        return False if fit > best else None
    return None if not fit and not best else fit >= best


def _is_swap(
    words: list[str],
    target: _SceneObject,
    objects: Sequence[_SceneObject],
    named: Collection[str | None],
    sentence: list[str],
    start: int,
) -> bool:
    """Whether a description after a comma is wrong even if it may list another object."""
    stems = _description_stems(words)
    fits = [(obj.token, len(stems & obj.words)) for obj in objects if obj is not target]
    best = max(fit for _, fit in fits)
    if all(token in named for token, fit in fits if fit == best):
        return True
    chunk_end = start + 2 + len(words)
    rest = sentence[chunk_end : chunk_end + _WINDOW]
    return bool(target.unique_words & {stem(word) for word in rest})


def _about_positions(text: str, named: Mapping[str, _SceneObject]) -> Iterator[bool]:
    """Verdicts about spatial relations between named objects: True for a right one."""
    if " left" not in text and " right" not in text and not _HAS_HEIGHT.search(text):
        return
    for match in _BESIDE.finditer(text):
        first, relation, second = (part for part in match.groups() if part is not None)
        yield from _holds(named.get(f"@{first}"), relation, named.get(f"@{second}"))
    for match in _SIDES.finditer(text):
        first, side, second, other_side = match.groups()
        if side != other_side:
            yield from _holds(named.get(f"@{first}"), side, named.get(f"@{second}"))


_HAS_HEIGHT = re.compile(r" (?:above|below|under|over) ")


def _holds(
    first: _SceneObject | None, relation: str, second: _SceneObject | None
) -> Iterator[bool]:
    """Whether the centers of the boxes are in this relation; nothing if an object is unknown."""
    if first is None or second is None or first is second:
        return
    if relation in ("left", "right"):
        gap = second.box.x1 + second.box.x2 - first.box.x1 - first.box.x2
        yield gap > 0 if relation == "left" else gap < 0
    else:
        gap = second.box.y1 + second.box.y2 - first.box.y1 - first.box.y2
        yield gap > 0 if relation in ("above", "over") else gap < 0
