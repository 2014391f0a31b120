"""Checks whether a caption puts names and attributes on the right objects.

If the row has the objects of the photo with their labels and phrases, the caption is read as a row
of names and noun phrases. A noun phrase is a run of words of the objects' vocabulary.

- A name and the phrase next to it belong together if only linking words are between them: `Ann is
  the red mug`, `Ann (the red mug)`, `Ann appears as a mug`, `Ann: mug`, `the red mug named Ann`,
  `the red mug Ann`, `Ann and Bob are the mug and the car`. No other verb links: `Ann sees the mug`.
- After a comma alone, `Ann, the red mug,` may also list a mug beside Ann, so it counts against the
  caption only if the object of the phrase has a name in the caption, too.
- A phrase that has the label of one object and a word that only another one has is wrong: `a blue
  mug` where the car is blue and the mug red.
- For places, see `repic.captions.positions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from repic.captions.clauses import is_negation
from repic.captions.positions import positions
from repic.captions.tokens import content_stems, stem
from repic.captions.vocabulary import JOINTS, PREPOSITIONS, STOP_WORDS
from repic.images.coordinates import Box

_ARTICLES = frozenset(("the", "a", "an", "our", "one"))
_LISTED = _ARTICLES | {",", "(", "\n"}
_POSSESSING = frozenset(("has", "wears", "wearing", "with"))
_COPULAS = frozenset(("is", "was", "are", "were", "isn't", "wasn't", "aren't"))
_LINKING = """
is was are were isn't wasn't aren't not never no be being looks seems appears appear seem resembles
to as called named known name whose who which that what it its also here type kind object label
class we you see recognise recognize call know by in this : ( " \n - |
happens turns out has wears wearing with 's
"""
_LINKS = _ARTICLES | frozenset(_LINKING.split(" ")) | {"\n", *_LINKING.split()}
_INNER = _ARTICLES | {"with", "and", "in", "that", "is", "which", "of"}
"""Words within a noun phrase: `a mug with a bow and a crown`, `a mug that is red`."""
_NO_ROLE = frozenset((*".!?;,\u3002\uff01\uff1f", "as", "same", "not", "such", "so"))
"""What keeps `as` from saying what something is: `as big as`, `the same size as`."""


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
class _Part:
    """Names or a noun phrase, from `start` to `end` in the tokens."""

    start: int
    end: int
    names: tuple[str, ...] = ()
    stems: frozenset[str] = frozenset()
    has_label: bool = False


def check_claims(tokens: Sequence[str], row: Mapping[str, Any]) -> Claims | None:
    """Check what a caption says about the objects of its photo.

    Args:
        tokens: Tokens of the caption; see `repic.captions.mentions.CaptionReading.tokens`.
        row: A row of the examples table.

    Returns:
        None if nothing can be checked: the row has fewer than two objects.
    """
    scene = row.get("scene") or ()
    if len(scene) < 2:
        return None
    objects = _scene_objects(
        tuple((e["name"], e["label"], tuple(e["phrases"]), tuple(e["box"])) for e in scene),
        tuple(reference["name"] for reference in row["references"]),
    )
    by_token = {obj.token: obj for obj in reversed(objects) if obj.token}
    verdicts = list(positions(" ".join(tokens), {t: o.box for t, o in by_token.items()}))
    parts = list(_parts(tokens, objects))
    said = frozenset(tokens)
    verdicts += [False for part in parts if part.stems and _mixes(part, tokens, objects)]
    for part, name, is_firm, is_denied in _links(parts, tokens):
        target = by_token.get(name)
        if target is None or (verdict := _fits(part.stems, target, objects)) is None:
            continue
        if is_denied:
            verdicts += [False] if verdict and _is_best(part.stems, target, objects) else []
        elif verdict or is_firm or _is_of_another(part.stems, target, objects, said):
            verdicts.append(verdict)
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


def _parts(tokens: Sequence[str], objects: Sequence[_SceneObject]) -> Iterator[_Part]:
    """Groups of names, and noun phrases, in order."""
    known = frozenset[str]().union(*(obj.words for obj in objects))
    labels = frozenset[str]().union(*(obj.label for obj in objects))
    stems = [stem(t) if t[0].isalnum() and t not in STOP_WORDS else "" for t in tokens]
    position = 0
    while position < len(tokens):
        end = position + 1
        if tokens[position][0] == "@":
            while end + 1 < len(tokens) and tokens[end] in JOINTS:
                following = end + 1 + (tokens[end + 1] in JOINTS)
                if following >= len(tokens) or tokens[following][0] != "@":
                    break
                end = following + 1
            names = tuple(token for token in tokens[position:end] if token[0] == "@")
            yield _Part(position, end, names=names)
        elif stems[position] in known:
            end = _phrase_end(tokens, stems, position, known, labels)
            found = known.intersection(stems[position:end])
            yield _Part(position, end, stems=found, has_label=not labels.isdisjoint(found))
        position = end


def _phrase_end(
    tokens: Sequence[str],
    stems: Sequence[str],
    start: int,
    known: frozenset[str],
    labels: frozenset[str],
) -> int:
    """The end of the noun phrase that begins at `start`; it has at most one label."""
    end, position = start + 1, start + 1
    has_label = stems[start] in labels
    while position < len(tokens):
        following = position
        while following < len(tokens) and tokens[following] in _INNER:
            following += 1
        if following == position and not has_label and tokens[position].isalpha():
            following += stems[position] not in known and tokens[position] not in PREPOSITIONS
        if following == len(tokens) or stems[following] not in known:
            break
        is_joined = following > position and tokens[position] in ("and", "with", "in", "of")
        ahead = following
        while is_joined and ahead < len(tokens) and stems[ahead] in known - labels:
            ahead += 1
        has_label_ahead = ahead < len(tokens) and stems[ahead] in labels
        is_other = tokens[position] == "and" and tokens[following - 1] in _ARTICLES
        is_other &= ahead < len(tokens) and bool(stems[ahead]) and stems[ahead] not in known
        is_other = is_other and tokens[ahead] not in _LINKS
        if is_other or (has_label_ahead and (has_label or is_joined)):
            break
        has_label = has_label or has_label_ahead
        end = position = following + 1
    return end


def _mixes(part: _Part, tokens: Sequence[str], objects: Sequence[_SceneObject]) -> bool:
    """Whether a phrase has the label of some objects and a word that only others have."""
    owners = [obj for obj in objects if obj.label and obj.label <= part.stems]
    if not owners or not all(obj.has_phrases for obj in owners):
        return False
    if any(map(is_negation, tokens[max(0, part.start - 3) : part.start])):
        return False
    best = max(owners, key=lambda obj: len(part.stems & obj.words))
    others = (obj for obj in objects if obj not in owners)
    return any((part.stems & obj.unique_words) - best.words for obj in others)


def _links(
    parts: Sequence[_Part], tokens: Sequence[str]
) -> Iterator[tuple[_Part, str, bool, bool]]:
    """Phrases with the name that each is about, whether it can be about no other, and denied."""
    weak: list[tuple[_Part, _Part]] = []
    used: set[int] = set()
    for one, other in pairwise(parts):
        phrase, named = (one, other) if other.names else (other, one)
        if not (phrase.stems and named.names) or one.start in used:
            continue
        between = list(tokens[one.end : other.start])
        if _is_listed(between):
            weak += [] if _is_placed(one, tokens) else [(phrase, named)]
        elif _is_link(between, one, other, tokens):
            used |= {phrase.start, named.start}
            name = named.names[-1 if named is one else 0]
            yield phrase, name, True, any(map(is_negation, between))
    yield from _groups(parts, tokens)
    for phrase, named in weak:
        if not {phrase.start, named.start} & used:
            used |= {phrase.start, named.start}
            yield phrase, named.names[-1 if named.start < phrase.start else 0], False, False


def _is_listed(between: Sequence[str]) -> bool:
    return bool(between) and between[0] == "," and _LISTED.issuperset(between)


def _is_link(between: Sequence[str], one: _Part, other: _Part, tokens: Sequence[str]) -> bool:
    """Whether the words between a name and a phrase make them one."""
    words = [word for word in between if word not in (",", *_ARTICLES)]
    if not words:
        is_bound = not between or other.names or between[0] in _ARTICLES
        return bool(is_bound) and not _is_placed(one, tokens)
    if other.names and words[0] == "'s":
        return False
    if len(one.names) > 1 and not _COPULAS.isdisjoint(words):
        return False
    if words[-1] == "as" and not other.names and _NO_ROLE.isdisjoint((*between[:1], *words[:-1])):
        return True
    if "like" in words and "looks" in words:
        words.remove("like")
    if words[0] in (".", ";") and words[1:2] == ["its"]:
        words = words[1:]
    if not _LINKS.issuperset(words):
        return False
    if not _POSSESSING.isdisjoint(words) and (other.names or other.has_label):
        return False
    return words[0] not in _COPULAS or not _is_placed(one, tokens)


def _is_placed(part: _Part, tokens: Sequence[str]) -> bool:
    """Whether a preposition stands before: `beside Ann is the red mug`."""
    before = [word for word in tokens[max(0, part.start - 3) : part.start] if word not in _ARTICLES]
    return bool(before) and before[-1] in PREPOSITIONS and before[-1] != "as"


def _groups(
    parts: Sequence[_Part], tokens: Sequence[str]
) -> Iterator[tuple[_Part, str, bool, bool]]:
    """As many phrases as names, in the same order: `Ann and Bob are the mug and the car`."""
    for index, named in enumerate(parts):
        count = len(named.names)
        phrases = parts[index + 1 : index + 1 + count]
        if count < 2 or len(phrases) < count or any(part.names for part in phrases):
            continue
        gaps = [tokens[a.end : b.start] for a, b in pairwise([named, *phrases])]
        is_opened = all(word in _LINKS or word == "," for word in gaps[0]) and gaps[0]
        is_list = all(word in JOINTS or word in _ARTICLES for gap in gaps[1:] for word in gap)
        if is_opened and is_list:
            is_firm = not _COPULAS.isdisjoint(gaps[0])
            for phrase, name in zip(phrases, named.names, strict=True):
                yield phrase, name, is_firm, False


def _fits(
    stems: frozenset[str], target: _SceneObject, objects: Sequence[_SceneObject]
) -> bool | None:
    """Whether a phrase fits the target at least as well as any other; None if it fits none."""
    others = [
        obj
        for obj in objects
        if obj is not target and (target.has_phrases or obj.label != target.label)
    ]
    fit = len(stems & target.words)
    best = max((len(stems & obj.words) for obj in others), default=0)
    return None if not fit and not best else fit >= best


def _is_best(stems: frozenset[str], target: _SceneObject, objects: Iterable[_SceneObject]) -> bool:
    return all(
        len(stems & target.words) > len(stems & obj.words) for obj in objects if obj is not target
    )


def _is_of_another(
    stems: frozenset[str],
    target: _SceneObject,
    objects: Sequence[_SceneObject],
    said: frozenset[str],
) -> bool:
    """Whether the object that a phrase describes has a name in the caption."""
    fits = [(obj.token, len(stems & obj.words)) for obj in objects if obj is not target]
    best = max(fit for _, fit in fits)
    return all(token in said for token, fit in fits if fit == best)
