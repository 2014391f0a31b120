"""ICT, identity-aware captions: caption the last picture and use the names of what is in it.

Before the query come one to four named references. Kinds of rows: `single`, one that is present;
`multi`, several that are all present; `absent`, none of which is; `mixed`, some of each. References
are crops of other photos, except for the share of multi rows that shows crops of the query itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.config import Examples
from repic.coordinates import Box, Convention
from repic.names import draw_names
from repic.objectives.base import (
    Draw,
    Mode,
    Note,
    Reward,
    Row,
    example,
    image_block,
    query_picture,
    rank,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.material import Material, Object, Pair, Photo, text_of
from repic.objectives.mentions import Reading, read
from repic.objectives.words import plain_words
from repic.objectives.phrases import info, named_caption

MAX_CAPTION = 20_000
"""Longest caption that strict mode reads, in characters; 1,024 tokens are about 5,000."""

FLOOR = 10
"""Distinct words, neither names nor copied, from which a caption says enough."""

LOWEST_FLOOR = 4
"""The floor never falls below it, however short the known true caption is."""

VARIETY = 0.3
"""Share of distinct words below which a caption longer than `VARIETY_FROM` words repeats itself."""

VARIETY_FROM = 30
PAPER_LENGTH = 100
MAX_OVERLAP = 0.1
"""Largest IoU of two references that are crops of the query itself."""

_SHORT = (
    "Write a caption for this picture.",
    "Caption the last picture.",
    "What is going on in this picture?",
    "Say in a sentence what this photo shows.",
    "Give this picture a caption.",
    "Tell me briefly what you see here.",
    "What does the last picture show?",
    "Sum up this photo.",
    "Put this picture into words.",
    "How would you caption this photo?",
    "Write what can be seen in the final picture.",
    "I want to send this photo to a friend. What should I write under it?",
    "Write a line about this picture for a photo album.",
    "Explain what this picture shows.",
)
_DETAILED = (
    "Describe this picture in detail.",
    "Write a detailed caption for the last picture.",
    "Look closely at this photo and describe all that matters in it.",
    "Describe the picture, its setting and what stands out.",
    "Give a full description of this photo.",
    "What is in this picture, where is it, and what is around it? Describe it thoroughly.",
    "Describe the last picture to someone who cannot see it, leaving nothing out.",
    "Write several sentences about this photo: who or what is in it, and the surroundings.",
    "Take your time and describe this picture with all its details.",
    "Give me a rich description of the scene in this photo.",
    "Describe colours, objects and background of this picture.",
    "Walk me through this photo, from its subject to its background.",
    "Describe this photo as exactly as you can.",
    "Write a paragraph that describes the last picture.",
)
TEMPLATES = templates("ict", _SHORT + _DETAILED)
USE_NAME = (
    "Use the names you were given for what you recognise.",
    "If you know something here from above, call it by its name.",
    "Refer by name to what you have met in the earlier pictures.",
    "Name what you already know.",
)
NO_COPY = (
    "Do not repeat the text given above.",
    "Use your own words, not those of the notes above.",
    "Describe what you see instead of copying what was said before.",
    "Please do not copy the information from above.",
)


@dataclass(frozen=True)
class _Reference:
    """A candidate: the object shown, the pair that it comes from, and itself in the query."""

    shown: Object
    pair: Pair | None
    in_query: Object | None


class _Index:
    """Which references each query photo can have."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.partners: dict[str, list[_Reference]] = defaultdict(list)
        self._strangers: dict[str, dict[str, Pair]] = defaultdict(dict)
        self._absent: dict[str, list[_Reference]] = {}
        for pair in material.pairs:
            ends = material.objects[pair.anchor_id], material.objects[pair.other_id]
            for shown, other in (ends, ends[::-1]):
                if pair.kind == "positive":
                    self.partners[other.object_id].append(_Reference(shown, pair, other))
                else:
                    self._strangers[other.image_id].setdefault(shown.object_id, pair)

    def absent(self, query: Photo) -> list[_Reference]:
        """Objects that negative pairs tie to this photo, and that are certainly not in it."""
        if query.image_id not in self._absent:
            found = self._strangers[query.image_id]
            self._absent[query.image_id] = [
                _Reference(thing, pair, None)
                for thing, pair in ((self.material.objects[key], found[key]) for key in found)
                if self.material.is_absent(thing, query)
            ]
        return self._absent[query.image_id]


class Ict:
    """The ICT objective."""

    name = "ict"
    templates = TEMPLATES

    def build(self, material: Material, settings: Examples, note: Note) -> Iterator[Row]:
        """`settings.ict.per_positive` rows per usable positive pair, about its other photo.

        The kind of each is drawn by `shares` among the kinds that can be made there, so that a row
        does not depend on photos that no pair ties to it. Where same-photo references are wanted,
        photos without a pair give multi rows as well.
        """
        index = _Index(material)
        any_row = False
        queried = set()
        for pair in material.pairs:
            if pair.kind != "positive":
                continue
            shown, thing = material.objects[pair.anchor_id], material.objects[pair.other_id]
            queried.add(thing.image_id)
            for turn in range(settings.ict.per_positive):
                seed = seed_of(settings.seed, "ict", pair.pair_id, turn)
                first = _Reference(shown, pair, thing)
                if row := _row(index, material.photos[thing.image_id], first, seed, settings, note):
                    any_row = True
                    yield row
        if settings.ict.same_photo_share > 0:
            for image_id in sorted(material.splits.keys() - queried):
                seed = seed_of(settings.seed, "ict", image_id)
                if row := _row(index, material.photos[image_id], None, seed, settings, note):
                    any_row = True
                    yield row
        if not any_row:
            note.why = "no usable positive pair: nothing was found in two different photos"

    def parse(self, completion: str, row: Mapping[str, Any], convention: Convention) -> Reading:
        """Who is named, and what else is said; see `repic.objectives.mentions`.

        Raises:
            ValueError: the caption is longer than `MAX_CAPTION` characters.
        """
        if len(completion) > MAX_CAPTION:
            raise ValueError(f"longer than {MAX_CAPTION} characters")
        prompt = "\n".join(block["text"] for block in row["prompt"] if block["text"])
        return read(completion, [reference["name"] for reference in row["references"]], prompt)

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """Names x content x variety; `paper`: substrings behind a gate of 100 characters.

        - names: set-F1 of the names used against those present; an absent name and a tag that holds
          no name are false positives. Where nobody is present, 1 for naming nobody and else 0.
        - content: distinct words that are neither names, words of the references' text, nor in
          passages of the prompt, over `FLOOR` (or over what the known true caption has, if less).
        - variety: share of distinct words over `VARIETY`, for long captions.
        """
        if mode == "paper":
            return _paper_reward(completion, row)
        if len(completion) > MAX_CAPTION:
            return _refused("long")
        reading = self.parse(completion, row, convention)
        if not reading.length and not reading.named:
            return _refused("empty")
        names, wrong, missing = _set_f1(reading, row)
        given = _given_words(row)
        content = min(1.0, len(reading.new_words - given) / _floor(row, given))
        variety = 1.0
        if reading.length > VARIETY_FROM:
            variety = min(1.0, len(reading.words) / (VARIETY * reading.length))
        reason = (
            "wrong_name"
            if wrong
            else "missing_name"
            if missing
            else "thin"
            if content < 1
            else "repetitive"
            if variety < 1
            else "right"
        )
        parsed = {
            "named": list(reading.named),
            "negated": list(reading.negated),
            "strangers": list(reading.strangers),
        }
        components = {"names": names, "content": content, "variety": variety}
        return Reward(names * content * variety, components, reason, parsed)


def _refused(reason: str) -> Reward:
    return Reward(0.0, {"names": 0.0, "content": 0.0, "variety": 0.0}, reason)


def _set_f1(reading: Reading, row: Mapping[str, Any]) -> tuple[float, int, int]:
    """Set-F1, how many wrong ones are named and how many present ones are not."""
    present = {r["name"] for r in row["references"] if r["present"]}
    hits = len(present.intersection(reading.named))
    wrong = len(reading.named) - hits + len(reading.strangers)
    missing = len(present) - hits
    if not present:
        return float(wrong == 0), wrong, 0
    return 2 * hits / (2 * hits + wrong + missing), wrong, missing


def _given_words(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(word for r in row["references"] for word in plain_words(r["info"]))


def _floor(row: Mapping[str, Any], given: frozenset[str]) -> int:
    if not row["caption"]:
        return FLOOR
    return min(FLOOR, max(LOWEST_FLOOR, len(set(plain_words(row["caption"])) - given)))


def _paper_reward(completion: str, row: Mapping[str, Any]) -> Reward:
    """The released reward, holes included.

    One name: the exact `<Name>` somewhere, no closing tag. Several: the share of them found. The
    paper has no rows where nobody is present; there only the length counts.
    """
    present = [r["name"] for r in row["references"] if r["present"]]
    found = [name for name in present if f"<{name}>" in completion]
    names = len(found) / len(present) if present else 1.0
    if len(present) == 1 and f"</{present[0]}>" in completion:
        names = 0.0
    length = float(len(completion) >= PAPER_LENGTH)
    reason = "thin" if not length else "right" if names == 1 else "missing_name"
    return Reward(names * length, {"names": names, "length": length}, reason, {"named": found})


def _row(
    index: _Index,
    query: Photo,
    first: _Reference | None,
    seed: int,
    settings: Examples,
    note: Note,
) -> Row | None:
    draw = Draw(seed)
    material = index.material
    options = _options(index, query, first, seed, draw, settings)
    shares = {str(kind): share for kind, share in settings.ict.shares.items()}
    kind = draw.weighted({kind: shares.get(kind, 0.0) for kind in options})
    if kind is None:
        note.refused["no_kind_with_a_share_can_be_made"] += 1
        return None
    chosen = draw.order(options[kind])
    template = draw.pick(TEMPLATES)
    with_info = draw.chance(settings.ict.info_share)
    request = [template.text]
    if draw.chance(settings.ict.use_name_share):
        request.append(draw.pick(USE_NAME))
    if draw.chance(settings.ict.no_copy_share):
        request.append(draw.pick(NO_COPY))
    things = [*material.objects_of[query.image_id], *(c.shown for c in chosen)]
    names = draw_names(draw, len(chosen), settings.names.locales, text_of(query, things))
    prompt, references = [], []
    for candidate, (name, locale) in zip(chosen, names, strict=True):
        text = info(candidate.shown, draw) if with_info else ""
        said = f"Name: <{name}>, Info: {text}" if text else f"This is <{name}>."
        prompt += [image_block(), text_block(said)]
        present = candidate.in_query is not None
        references.append(reference_row(name, locale, text, present, candidate.shown))
    prompt += [image_block(), text_block(" ".join(request))]
    known = [
        (candidate.in_query, name)
        for candidate, (name, _) in zip(chosen, names, strict=True)
        if candidate.in_query is not None
    ]
    return example(
        "ict",
        kind,
        material.splits[query.image_id],
        template,
        prompt,
        [*(reference_picture(material, c.shown) for c in chosen), query_picture(query)],
        ", ".join(f"<{name}>" for _, name in known),
        seed,
        references=references,
        pairs=[candidate.pair for candidate in chosen if candidate.pair is not None],
        caption=named_caption(query.caption, known),
    )


def _options(
    index: _Index,
    query: Photo,
    first: _Reference | None,
    seed: int,
    draw: Draw,
    settings: Examples,
) -> dict[str, list[_Reference]]:
    """References of each kind that can be made about this photo, in the order of the kinds."""
    most = settings.ict.max_references
    wanted, shown, others = draw.between(2, most), draw.between(1, most - 1), draw.between(1, most)
    options: dict[str, list[_Reference]] = {}
    same = (
        _of_the_query(index, query, first, seed)[:wanted]
        if draw.chance(settings.ict.same_photo_share)
        else []
    )
    if first is None:
        return {"multi": same} if len(same) >= 2 else {}
    present = _of_other_photos(index, query, first, seed)
    absent = _distinct(index, index.absent(query), seed)
    options["single"] = [first]
    if len(multi := same if len(same) >= 2 else present[:wanted]) >= 2:
        options["multi"] = multi
    if absent:
        options["absent"] = absent[:others]
        options["mixed"] = present[:shown] + absent[: min(others, most - len(present[:shown]))]
    return options


def _of_other_photos(index: _Index, query: Photo, first: _Reference, seed: int) -> list[_Reference]:
    """The first reference and one partner of each other object of the query."""
    found = [first]
    for thing in index.material.objects_of[query.image_id]:
        if partners := index.partners[thing.object_id]:
            found.append(min(partners, key=lambda partner: _place(partner, seed)))
    return found[:1] + _distinct(index, found[1:], seed, taken=found[:1])


def _of_the_query(
    index: _Index, query: Photo, first: _Reference | None, seed: int
) -> list[_Reference]:
    """Crops of the query itself, in full view and apart from each other; the pair's own first."""
    things = [thing for thing in index.material.objects_of[query.image_id] if not thing.cut]
    candidates = [_Reference(thing, None, thing) for thing in things]
    own = first.in_query.object_id if first and first.in_query else ""
    kept: list[_Reference] = []
    distinct = _distinct(index, candidates, seed)
    for candidate in sorted(distinct, key=lambda c: c.shown.object_id != own):
        box = Box(*candidate.shown.box)
        if all(box.iou(Box(*other.shown.box)) <= MAX_OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def _distinct(
    index: _Index,
    candidates: Sequence[_Reference],
    seed: int,
    taken: Sequence[_Reference] = (),
) -> list[_Reference]:
    """Candidates by rank, each of another group."""
    groups = {index.material.group(candidate.shown.object_id) for candidate in taken}
    kept = []
    for candidate in sorted(candidates, key=lambda c: _place(c, seed)):
        group = index.material.group(candidate.shown.object_id)
        if group not in groups:
            groups.add(group)
            kept.append(candidate)
    return kept


def _place(candidate: _Reference, seed: int) -> tuple[int, str]:
    return rank(seed, candidate.shown.object_id), candidate.shown.object_id
