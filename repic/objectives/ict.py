"""ICT, identity-aware captions: caption the last picture and use the names of what is in it.

Before the query come one to four named references. Kinds of rows: `single`, one that is present;
`multi`, several that are all present; `absent`, none of which is; `mixed`, some of each. References
are crops of other photos, except for the share of multi rows that shows crops of the query itself.
A `which` row asks for no caption but for the name of what is at one box; see
`repic.objectives.identify`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from repic.captions.claims import check_claims
from repic.captions.facts import checkable_facts
from repic.captions.mentions import FREE_REPETITION, CaptionReading, read_caption
from repic.captions.tokens import plain_words
from repic.config.build import Examples
from repic.images.coordinates import QWEN3_VL, Convention
from repic.objectives import identify
from repic.objectives.base import (
    Draft,
    Draw,
    Mode,
    Note,
    Reward,
    Row,
    example,
    image_block,
    key_of,
    query_picture,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.corpus import Material, Object, Photo, text_of
from repic.objectives.names import draw_names
from repic.objectives.phrases import info, named_caption
from repic.objectives.references import Index, Reference, options
from repic.objectives.scene import scene_of

MAX_CAPTION = 10_000
"""Longest caption that strict mode reads, in characters; 1,024 tokens are about 5,000."""

FLOOR = 10
"""Distinct words, neither names nor copied, from which a caption says enough."""

LOWEST_FLOOR = 4
"""The floor does not fall below it, however short the true caption is, unless facts are checked."""

VARIETY = 0.3
"""Share of distinct words below which a caption longer than `VARIETY_FROM` words repeats itself."""

VARIETY_FROM = 30
PAPER_LENGTH = 100

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
_CAPTIONS = templates("ict", _SHORT + _DETAILED)
TEMPLATES = _CAPTIONS + identify.TEMPLATES
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


class Ict:
    """The ICT objective."""

    name = "ict"
    templates = TEMPLATES

    def drafts(self, material: Material, settings: Examples, note: Note) -> Iterator[Draft]:
        """`settings.ict.per_positive` rows per usable positive pair, about its other photo.

        The kind of each is drawn by `shares` among the kinds that can be made there, so that a row
        does not depend on photos that no pair ties to it. Where same-photo references are wanted,
        photos without a pair give multi rows as well.

        A true caption that its own row does not reward in full is not kept: it would be taught as
        wrong. Where facts are checked the row goes with it, since what is known of the photo (a
        second box with a wrong label, say) contradicts its caption, and any honest one.
        """
        any_row = False
        for plan in self._plans(material, settings, note):
            any_row = True
            yield Draft(plan.key, partial(self._written, plan, note))
        if not any_row:
            note.why = "no usable positive pair: nothing was found in two different photos"

    def _written(self, plan: _Plan, note: Note) -> Row | None:
        row = plan.row()
        if row["caption"] is None or self._is_right(row):
            return row
        if row["distinctive_words"]:
            note.refused["its_true_caption_is_not_rewarded"] += 1
            return None
        return {**row, "caption": None}

    def _is_right(self, row: Row) -> bool:
        # No box is read in a caption, so any convention does.
        return self.reward(row["caption"], row, "strict", QWEN3_VL).total == 1

    def _plans(self, material: Material, settings: Examples, note: Note) -> Iterator[_Plan]:
        index = Index(material)
        queried = set()
        for pair in material.pairs:
            if pair.kind != "positive":
                continue
            shown, thing = material.objects[pair.anchor_id], material.objects[pair.other_id]
            queried.add(thing.image_id)
            for turn in range(settings.ict.per_positive):
                seed = seed_of(settings.seed, "ict", pair.pair_id, turn)
                first = Reference(shown, pair, thing)
                query = material.photos[thing.image_id]
                if plan := _planned(index, query, first, seed, settings, note):
                    yield plan
        if settings.ict.same_photo_share > 0:
            for image_id in sorted(material.splits.keys() - queried):
                seed = seed_of(settings.seed, "ict", image_id)
                query = material.photos[image_id]
                if plan := _planned(index, query, None, seed, settings, note):
                    yield plan

    def parse(
        self, completion: str, row: Mapping[str, Any], convention: Convention
    ) -> CaptionReading:
        """Who is named, and what else is said; see `repic.captions.mentions`.

        Raises:
            ValueError: the caption is longer than `MAX_CAPTION` characters.
        """
        if len(completion) > MAX_CAPTION:
            raise ValueError(f"longer than {MAX_CAPTION} characters")
        said = [block["text"] for block in row["prompt"] if block["text"]]
        names = [reference["name"] for reference in row["references"]]
        return read_caption(completion, names, "\n".join(said), said[-1] if said else "")

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """Names x content x variety, x facts and x binding where they are known.

        - names: set-F1 of the names used against those present; an absent name, a tag that holds no
          name and a name that is claimed both ways are false positives. Where nobody is present, 1
          for naming nobody and else 0.
        - content: distinct words that are neither names, words of the references' text, nor in
          passages of the prompt, over `FLOOR` (or over what the known true caption has, if less).
        - variety: share of what is said once; in long captions, of distinct words over `VARIETY`.
        - facts: what the caption says against what is known of the photo (`objectives.facts`).
        - binding: share of right ones among the claims about who is what (`objectives.binding`).

        `paper`: substrings behind a gate of 100 characters. A `which` row is scored by
        `objectives.which`.
        """
        if mode == "paper":
            return _paper_reward(completion, row)
        if row["kind"] == identify.KIND:
            return identify.reward(completion, row)
        if len(completion) > MAX_CAPTION:
            return _refused("long")
        reading = self.parse(completion, row, convention)
        if not reading.word_count and not reading.named:
            return _refused("empty")
        names, wrong, missing = _set_f1(reading, row)
        given = _given_words(row)
        facts = checkable_facts(row)
        floor = _floor(row, given, is_checked=facts is not None)
        components = {
            "names": names,
            "content": min(1.0, len(reading.new_words - given) / floor),
            "variety": _variety(reading),
        }
        if facts:
            components["facts"] = facts.score(reading.affirmed_words)
        if (made := check_claims(reading.tokens, row)) and (score := made.score) is not None:
            components["binding"] = score
        parsed = {
            "named": list(reading.named),
            "negated": list(reading.negated),
            "hedged": list(reading.hedged),
            "strangers": list(reading.false_names),
        }
        if wrong or missing:
            reason = "wrong_name" if wrong else "missing_name"
        else:
            reason = next((_REASONS[c] for c, v in components.items() if v < 1), "right")
        return Reward(math.prod(components.values()), components, reason, parsed)


_REASONS = {
    "names": "missing_name",
    "content": "thin",
    "variety": "repetitive",
    "facts": "unfounded",
    "binding": "wrong_object",
}


def _refused(reason: str) -> Reward:
    return Reward(0.0, {"names": 0.0, "content": 0.0, "variety": 0.0}, reason)


def _set_f1(reading: CaptionReading, row: Mapping[str, Any]) -> tuple[float, int, int]:
    """Set-F1, how many wrong ones are named and how many present ones are not."""
    present = {r["name"] for r in row["references"] if r["present"]}
    hits = len(present.intersection(reading.named))
    wrong = len(reading.named) - hits + len(reading.hedged) + len(reading.false_names)
    missing = len(present) - hits
    if not present:
        return float(wrong == 0), wrong, 0
    return 2 * hits / (2 * hits + wrong + missing), wrong, missing


def _variety(reading: CaptionReading) -> float:
    variety = min(1.0, (1 - reading.repetition) / (1 - FREE_REPETITION))
    if reading.word_count > VARIETY_FROM:
        variety *= min(1.0, len(reading.words) / (VARIETY * reading.word_count))
    return max(0.0, variety)


def _given_words(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(word for r in row["references"] for word in _distinct(r["info"]))


@lru_cache(maxsize=4096)
def _distinct(text: str) -> frozenset[str]:
    return frozenset(plain_words(text))


def _floor(row: Mapping[str, Any], given: frozenset[str], is_checked: bool) -> int:
    if not row["caption"]:
        return FLOOR
    told = len(_distinct(row["caption"]) - given)
    return min(FLOOR, max(1, told // 2) if is_checked else max(LOWEST_FLOOR, told))


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


@dataclass(frozen=True)
class _Plan:
    """A row of which all is decided: the kind, the references in their order, what is asked."""

    index: Index
    settings: Examples
    query: Photo
    seed: int
    kind: str
    chosen: list[Reference]
    asked: Object | None
    draw: Draw
    """Chance as it is after the choice; a function of the seed and the number of references."""

    @property
    def key(self) -> str:
        material = self.index.material
        return key_of(
            "ict",
            self.seed,
            self.kind,
            self.asked and self.asked.object_id,
            [(c.shown.object_id, c.pair, c.in_query and c.in_query.object_id) for c in self.chosen],
            material.splits[self.query.image_id],
            [material.content(c.shown.image_id) for c in self.chosen],
            material.content(self.query.image_id),
            () if self.asked else self.index.checkable(self.query),
        )

    def row(self) -> Row:
        """The row, as it is the first time that it is written."""
        draw, chosen, asked, query = self.draw, self.chosen, self.asked, self.query
        material, settings = self.index.material, self.settings
        template = draw.pick(identify.TEMPLATES if asked else _CAPTIONS)
        with_info = draw.chance(settings.ict.info_share)
        request = [template.text]
        if not asked and draw.chance(settings.ict.use_name_share):
            request.append(draw.pick(USE_NAME))
        if not asked and draw.chance(settings.ict.no_copy_share):
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
        given = {thing.object_id: name for thing, name in known}
        told = [reference["info"] for reference in references]
        distinctive, distractors = ([], []) if asked else self.index.checkable(query)
        return example(
            "ict",
            self.kind,
            material.splits[query.image_id],
            template,
            prompt,
            [*(reference_picture(material, c.shown) for c in chosen), query_picture(query)],
            identify.answer(given.get(asked.object_id))
            if asked
            else ", ".join(f"<{name}>" for _, name in known),
            self.seed,
            references=references,
            pairs=[candidate.pair for candidate in chosen if candidate.pair is not None],
            box=list(asked.box) if asked else None,
            caption=None if asked else named_caption(query.caption, known, distinctive, told),
            scene=scene_of(material.objects_of[query.image_id], given),
            distinctive_words=distinctive,
            distractor_words=distractors,
        )


def _planned(
    index: Index,
    query: Photo,
    first: Reference | None,
    seed: int,
    settings: Examples,
    note: Note,
) -> _Plan | None:
    draw = Draw(seed)
    can = options(index, query, first, seed, draw, settings)
    shares = {str(kind): share for kind, share in settings.ict.shares.items()}
    kind = draw.weighted({kind: shares.get(kind, 0.0) for kind in can})
    if kind is None:
        note.refused["no_kind_with_a_share_can_be_made"] += 1
        return None
    choice = can[kind]()
    chosen = draw.order(choice.references)
    return _Plan(index, settings, query, seed, kind, chosen, choice.asked, draw)
