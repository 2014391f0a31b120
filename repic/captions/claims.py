"""Checks whether a caption puts names and attributes on the right objects.

If the row has the objects of the photo with their labels and phrases, the caption is read as a row
of names and noun phrases: runs of words of the objects' labels and phrases. A name and the phrase
next to it belong together if only linking words are between them; a phrase that has the label of
one object and a word that only another one has is wrong. The rules are in docs/rewards.md, those
for places in `repic.captions.positions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from repic.captions import vocabulary as v
from repic.captions.clauses import is_negation
from repic.captions.positions import positions
from repic.captions.tokens import content_stems, stem
from repic.images.coordinates import Box

_CODES = dict.fromkeys(v.STOP_WORDS, "s") | dict.fromkeys(v.PREPOSITIONS & v.STOP_WORDS, "-")
_CODES |= dict.fromkeys(v.ARTICLES, "a") | dict.fromkeys(("that", "is", "which"), "i")
_CODES |= dict.fromkeys(("with", "in", "of"), "+") | dict.fromkeys(("or", "nor"), "o")
_CODES |= {"and": "&", ",": ","}
"""Token -> one character, beside `_Codes`. With these, patterns below read phrases and names:

@ name, L word of a label, K other word of an object, a article, & and, + with/in/of, i is/that,
o or, s other stop word, l linking word, w other word, x other with a mark in it, p preposition.
"""
_FREE = "[ia][&+ai]*K"
"""`red, a`: goes on in any phrase."""

_JOINED = "(?!&[&+ai]*aK*[wx])[&+][&+ai]*(?=K)(?!K*L)K"
"""`with dots and a bow`, but not `and a blue car`, and not `and a big tree`."""

_AFTER_LABEL = f"(?:K|{_FREE}|{_JOINED})*"
_PART = re.compile(
    f"@(?:[,&o]{{1,2}}@)*|L{_AFTER_LABEL}"
    f"|K(?:[wlso]?K|{_FREE}|{_JOINED})*(?:(?:[wlso]?|[ia][&+ai]*)L{_AFTER_LABEL})?"
)
_CACHED = 2_000
"""Tokens of a scene whose codes are kept."""

_LISTED = v.ARTICLES | {",", "(", "\n"}


class _Codes(dict[str, str]):
    """Token -> its code in a scene, filled on demand."""

    def __init__(self, by_stem: Mapping[str, str]) -> None:
        super().__init__(_CODES)
        self.by_stem = by_stem

    def __missing__(self, token: str) -> str:
        code = "@" if token[0] == "@" else "-"
        if token[0].isalnum():
            code = "p" if token in v.PREPOSITIONS else "w" if token.isalpha() else "x"
            code = self.by_stem.get(stem(token), "l" if token in v.LINKS else code)
        if len(self) < _CACHED:
            self[token] = code
        return code


@dataclass(frozen=True)
class Claims:
    """Number of right and of wrong claims that a caption makes about objects."""

    right: int
    wrong: int

    @property
    def score(self) -> float | None:
        """Right minus wrong claims, as a share, 0 to 1; None if none can be checked."""
        count = self.right + self.wrong
        return max(0.0, self.right - self.wrong) / count if count else None


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


@dataclass(frozen=True)
class _Scene:
    objects: tuple[_SceneObject, ...]
    by_token: dict[str, _SceneObject]
    codes: _Codes


@dataclass(frozen=True)
class _Part:
    """Names or a noun phrase, from `start` to `end` in the tokens."""

    start: int
    end: int
    names: tuple[str, ...]
    stems: frozenset[str]
    has_label: bool


_Link = tuple[_Part, str, bool, bool]
"""A phrase, the name that it is said of, whether it can be about no other object, and denied."""


def check_claims(tokens: Sequence[str], row: Mapping[str, Any]) -> Claims | None:
    """Check what a caption says about the objects of its photo.

    Args:
        tokens: Tokens of the caption; see `repic.captions.mentions.CaptionReading.tokens`.
        row: A row of the examples table.

    Returns:
        None if nothing can be checked: the row has fewer than two objects.
    """
    things = row.get("scene") or ()
    if len(things) < 2:
        return None
    scene = _scene(things, (reference["name"] for reference in row["references"]))
    verdicts = list(positions(tokens, {t: o.box for t, o in scene.by_token.items()}))
    parts = list(_parts(tokens, scene.codes))
    verdicts += [False for part in parts if part.stems and _mixes(part, tokens, scene.objects)]
    said = frozenset(tokens)
    judged = (_is_right(link, scene, said) for link in _links(parts, tokens))
    verdicts += [verdict for verdict in judged if verdict is not None]
    return Claims(sum(verdicts), len(verdicts) - sum(verdicts))


def _scene(things: Sequence[Mapping[str, Any]], names: Iterable[str]) -> _Scene:
    tokens = {name: f"@{index}" for index, name in enumerate(names)}
    described = tuple((e["label"], tuple(e["phrases"]), tuple(e["box"])) for e in things)
    nameless, codes = _described(described)
    named = [tokens.get(e["name"]) if e["name"] else None for e in things]
    objects = tuple(
        replace(one, token=token) if token else one
        for one, token in zip(nameless, named, strict=True)
    )
    by_token = {o.token: o for o in objects[::-1] if o.token}
    return _Scene(objects, by_token, codes)


@lru_cache(maxsize=1024)
def _described(
    things: tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...],
) -> tuple[list[_SceneObject], _Codes]:
    """The objects of a photo before any has a name: the same for all rows about the photo."""
    objects = []
    for label, phrases, box in things:
        stems = content_stems(label)
        words = stems.union(*map(content_stems, phrases))
        objects.append(_SceneObject(None, words, stems, bool(phrases), Box.of(box)))
    objects = [
        replace(one, unique_words=one.words.difference(*(o.words for o in objects if o is not one)))
        for one in objects
    ]
    codes = {word: "K" for one in objects for word in one.words}
    codes |= {word: "L" for one in objects for word in one.label}
    return objects, _Codes(codes)


def _parts(tokens: Sequence[str], codes: _Codes) -> Iterator[_Part]:
    """Groups of names, and noun phrases, in order."""
    text = "".join(map(codes.__getitem__, tokens))
    for match in _PART.finditer(text):
        start, end = match.span()
        names = tuple(token for token in tokens[start:end] if token[0] == "@")
        stems = frozenset(stem(tokens[i]) for i in range(start, end) if text[i] in "KL")
        yield _Part(start, end, names, stems, "L" in match[0])


def _mixes(part: _Part, tokens: Sequence[str], objects: Sequence[_SceneObject]) -> bool:
    """Whether a phrase has the label of some objects and a word that only others have."""
    owners: list[_SceneObject] = []
    others: list[_SceneObject] = []
    for obj in objects:
        (owners if obj.label and obj.label <= part.stems else others).append(obj)
    if not owners or not all(obj.has_phrases for obj in owners):
        return False
    if any(map(is_negation, tokens[max(0, part.start - 3) : part.start])):
        return False
    best = max(owners, key=lambda obj: len(part.stems & obj.words))
    foreign = part.stems - best.words
    return bool(foreign) and any(foreign & other.unique_words for other in others)


def _links(parts: Sequence[_Part], tokens: Sequence[str]) -> Iterator[_Link]:
    """What is said of each name: firm links first, then those that may be a list."""
    weak: list[tuple[_Part, _Part]] = []
    used: set[int] = set()
    for one, other in pairwise(parts):
        phrase, named = (one, other) if other.names else (other, one)
        if not (phrase.stems and named.names) or one.start in used:
            continue
        between = tokens[one.end : other.start]
        if between[:1] == (",",) and _LISTED.issuperset(between):
            weak += [] if _is_placed(one, tokens) else [(phrase, named)]
        elif _is_link(between, one, other, tokens):
            used |= {phrase.start, named.start}
            name = named.names[-1 if named is one else 0]
            yield phrase, name, True, any(map(is_negation, between))
    yield from _groups([part for part in parts if part.start not in used], tokens)
    for phrase, named in weak:
        if not {phrase.start, named.start} & used:
            used |= {phrase.start, named.start}
            name = named.names[-1 if named.start < phrase.start else 0]
            yield phrase, name, False, False


def _is_link(between: Sequence[str], one: _Part, other: _Part, tokens: Sequence[str]) -> bool:
    """Whether the words between a name and a phrase make them one."""
    words = [word for word in between if word != "," and word not in v.ARTICLES]
    if not words:
        is_bound = not between or other.names or between[0] in v.ARTICLES
        return bool(is_bound) and not _is_placed(one, tokens)
    if len(one.names) > 1 and not v.COPULAS.isdisjoint(words):
        return False
    if words[-1] == "as" and other.stems and v.NO_ROLE.isdisjoint((*between[:1], *words[:-1])):
        return True
    if "like" in words and "looks" in words:
        words.remove("like")
    words = words[words[0] in (".", ";") and words[1:2] == ["its"] :]
    if not v.LINKS.issuperset(words) or (other.names and words[0] == "'s"):
        return False
    if not v.POSSESSING.isdisjoint(words) and (other.names or other.has_label):
        return False
    return words[0] not in v.COPULAS or not _is_placed(one, tokens)


def _is_placed(part: _Part, tokens: Sequence[str]) -> bool:
    """Whether a preposition stands before: `beside Ann is the red mug`."""
    before = [w for w in tokens[max(0, part.start - 3) : part.start] if w not in v.ARTICLES]
    return bool(before) and before[-1] in v.PREPOSITIONS and before[-1] != "as"


def _groups(parts: Sequence[_Part], tokens: Sequence[str]) -> Iterator[_Link]:
    """As many phrases as names, in the same order: `Ann and Bob are the mug and the car`."""
    for index, named in enumerate(parts):
        count = len(named.names)
        phrases = parts[index + 1 : index + 1 + count]
        if count < 2 or len(phrases) < count or any(part.names for part in phrases):
            continue
        first, *gaps = (tokens[a.end : b.start] for a, b in pairwise([named, *phrases]))
        is_opened = first and all(word in v.LINKS or word == "," for word in first)
        if is_opened and all((v.JOINTS | v.ARTICLES).issuperset(gap) for gap in gaps):
            is_firm = not v.COPULAS.isdisjoint(first)
            for phrase, name in zip(phrases, named.names, strict=True):
                yield phrase, name, is_firm, False


def _is_right(link: _Link, scene: _Scene, said: frozenset[str]) -> bool | None:
    """Whether the phrase fits the object at least as well as any other; None if it says nothing.

    Of objects with the same label, one without phrases is compared with none. A denial is wrong if
    the phrase fits the object best. A link that is not firm is wrong only if the objects that the
    phrase fits best have names in the caption.
    """
    phrase, name, is_firm, is_denied = link
    target = scene.by_token.get(name)
    if target is None:
        return None
    own = len(phrase.stems & target.words)
    others = [(obj, len(phrase.stems & obj.words)) for obj in scene.objects if obj is not target]
    best = max(fit for _, fit in others)
    rivals = [fit for o, fit in others if target.has_phrases or o.label != target.label]
    rival = max(rivals, default=0)
    if not own and not rival:
        return None
    if is_denied:
        return False if own > best else None
    is_sure = own >= rival or is_firm
    return own >= rival if is_sure or all(o.token in said for o, f in others if f == best) else None
