"""OCT, object consistency: is the named object of picture 1 in picture 2? Yes or no.

Positives are the usable positive pairs: the anchor's crop, and the whole other photo. Negatives are
drawn from the usable negative pairs by band, where the anchor is certainly nowhere in the other
photo.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from repic.captions.tokens import strip_answer
from repic.config.build import Examples
from repic.images.coordinates import Convention
from repic.objectives.base import (
    HARDNESS,
    SPLITS,
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
    rank,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.corpus import Material, Pair, text_of
from repic.objectives.names import draw_names

MAX_ANSWER = 64
"""Longest answer that strict mode reads, in characters, white space around it not counted."""

MAX_SPACED = 10_000
"""Longest answer that is looked at, white space counted."""

TEMPLATES = templates(
    "oct",
    (
        "Is {name} in this picture?",
        "Can {name} be seen in this picture?",
        "Does this picture show {name}?",
        "Look at the second picture. Is {name} in it?",
        "Is {name} anywhere in the second picture?",
        "Did {name} make it into this photo?",
        "Would you say that {name} is in this photo?",
        "Here is another photo. Is {name} part of it?",
        "Check this photo closely: does {name} appear in it?",
        "You have seen {name} above. Does the same one appear here?",
        "Is the very same {name} visible in the new picture?",
        "Among all that this picture shows, is there {name}?",
        "Has this photo been taken of {name}, from whatever side?",
        "Compare the two pictures. Is {name} in both of them?",
        "Do you find {name} again in this picture?",
        "Light, place and angle may differ. Is {name} in this picture?",
        "Something in this picture may look like {name}. Is it really {name}?",
        "Could {name} be pointed out in this picture?",
    ),
)
INTRODUCTION = "This is {name}."
INSTRUCTION = "Answer only yes or no."


class Oct:
    """The OCT objective."""

    name = "oct"
    templates = TEMPLATES

    def drafts(self, material: Material, settings: Examples, note: Note) -> Iterator[Draft]:
        """One row per usable positive pair, and negatives by `settings.oct`, split by split.

        Bands that run short leave their share to the others.
        """
        positives: dict[str, list[Pair]] = defaultdict(list)
        negatives: dict[str, dict[str, list[tuple[int, Pair]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        order = seed_of(settings.seed, "oct", "negative")
        for pair in material.pairs:
            if pair.kind == "positive":
                positives[pair.split].append(pair)
                continue
            anchor, other = material.objects[pair.anchor_id], material.objects[pair.other_id]
            if not material.is_absent(anchor, material.photos[other.image_id]):
                note.refused["anchor_may_be_in_the_query"] += 1
                continue
            negatives[pair.split][pair.band].append((rank(order, pair.pair_id), pair))
        for split in SPLITS:
            wanted = round(len(positives[split]) * settings.oct.negatives_per_positive)
            chosen = _by_band(negatives[split], settings.oct.band_shares, wanted)
            for pair in sorted(positives[split] + chosen, key=lambda pair: pair.pair_id):
                yield _draft(material, pair, settings)
        if not any(positives.values()):
            note.why = "no usable positive pair: nothing was found in two different photos"

    def parse(
        self, completion: str, row: Mapping[str, Any], convention: Convention
    ) -> Literal["yes", "no"] | None:
        """The answer, if it is nothing but yes or no; case, a full stop and white space are free.

        Only a plain `.` or `!` may end it, and only ASCII letters spell it.
        """
        if len(completion) > MAX_ANSWER:
            if len(completion) > MAX_SPACED:
                return None
            completion = completion.strip(" \t\r\n")
            if len(completion) > MAX_ANSWER:
                return None
        word = strip_answer(completion).lower()
        if word == "yes":
            return "yes"
        return "no" if word == "no" else None

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """1 for the right word alone, else 0; `paper`: the first "yes" or "no" as a substring."""
        if mode == "paper":
            said = _first_said(completion.lower())
        else:
            said = self.parse(completion, row, convention)
        right = float(said == row["answer"])
        reason = "malformed" if said is None else "right" if right else "wrong"
        components = {"correct": right, "format": float(said is not None)}
        return Reward(right, components, reason, said)


def _first_said(text: str) -> str | None:
    """The one of "yes" and "no" that begins first; `find` is quicker than a pattern here."""
    places = {place: word for word in ("yes", "no") if (place := text.find(word)) >= 0}
    return places[min(places)] if places else None


def _by_band(
    found: Mapping[str, list[tuple[int, Pair]]], shares: Mapping[Any, float], wanted: int
) -> list[Pair]:
    """The wanted number of pairs, by share and then by what is left, in order of rank."""
    waiting = {band: [pair for _, pair in sorted(found[band], key=_place)] for band in found}
    bands = sorted((b for b in waiting if shares.get(b, 0) > 0), key=HARDNESS.__getitem__)
    chosen: list[Pair] = []
    while (missing := wanted - len(chosen)) > 0 and (bands := [b for b in bands if waiting[b]]):
        whole = sum(shares[band] for band in bands)
        for band in bands:
            take = min(missing, max(1, round(missing * shares[band] / whole)))
            take = min(take, wanted - len(chosen))
            chosen += waiting[band][:take]
            waiting[band] = waiting[band][take:]
    return chosen


def _place(item: tuple[int, Pair]) -> tuple[int, str]:
    return item[0], item[1].pair_id


def _draft(material: Material, pair: Pair, settings: Examples) -> Draft:
    photos = [material.objects[end].image_id for end in (pair.anchor_id, pair.other_id)]
    key = key_of("oct", pair, *map(material.content, photos))
    return Draft(key, lambda: _row(material, pair, settings))


def _row(material: Material, pair: Pair, settings: Examples) -> Row:
    seed = seed_of(settings.seed, "oct", pair.pair_id)
    draw = Draw(seed)
    anchor, other = material.objects[pair.anchor_id], material.objects[pair.other_id]
    query = material.photos[other.image_id]
    template = draw.pick(TEMPLATES)
    avoid = [anchor.label, *text_of(query, material.objects_of[query.image_id])]
    [(given, locale)] = draw_names(draw, 1, settings.names.locales, avoid)
    tag = f"<{given}>"
    present = pair.kind == "positive"
    return example(
        "oct",
        pair.kind,
        pair.split,
        template,
        [
            image_block(),
            text_block(INTRODUCTION.format(name=tag)),
            image_block(),
            text_block(f"{template.text.format(name=tag)} {INSTRUCTION}"),
        ],
        [reference_picture(material, anchor), query_picture(query)],
        "yes" if present else "no",
        seed,
        references=[reference_row(given, locale, "", present, anchor)],
        pairs=[pair],
    )
