"""OCT, object consistency: is the named object of image 1 in image 2? Yes or no.

Positives are the usable positive pairs: the crop of the anchor, and the full other photo. Negatives
are usable negative pairs, drawn by band, whose anchor is certainly absent from the other photo. For
objects that no other photo shows, see `repic.objectives.same_photo`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic.config import SPLITS, ExampleSettings
from repic.images.coordinates import Convention
from repic.objectives import released, same_photo, short_answers
from repic.objectives.base import (
    HARDNESS,
    Draft,
    Mode,
    Reward,
    Row,
    SeededRandom,
    example_row,
    image_block,
    made,
    query_picture,
    ranks,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.corpus import Corpus, Flags, Ints, contains
from repic.objectives.names import draw_names
from repic.objectives.neighborhood import Neighborhood, OctQuestion, Pair
from repic.objectives.objective import BlindAnswers, Objective
from repic.objectives.quotas import by_shares

MAX_ANSWER = 64
"""Longest answer that strict mode reads, in characters, without surrounding white space."""

MAX_SPACED = 10_000
"""Longest answer that strict mode reads, in characters, with surrounding white space."""

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


class Oct(Objective):
    """The OCT objective."""

    name = "oct"
    title = "Object consistency"
    question = "Is the named object of the first picture in the second?"
    templates = TEMPLATES

    def rows(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Row]:
        """The rows of the drafts."""
        return made(self.drafts(near, settings, refused))

    def drafts(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Draft]:
        """The rows of the questions about a photo that `choose` has chosen."""
        pairs = {pair.pair_id: pair for pair in near.pairs}
        for question in near.questions:
            pair = pairs[question.pair_id] if question.pair_id is not None else None
            made_from = (question, pair and pair.row_columns, near.known_of(question.shown))
            yield Draft(made_from, partial(_row, near, question, pair, settings))

    def parse(self, completion: str, row: Mapping[str, Any], convention: Convention) -> str | None:
        """The answer if it is only yes or no, otherwise None.

        `repic.objectives.short_answers` says in which forms.
        """
        if len(completion) > MAX_ANSWER:
            if len(completion) > MAX_SPACED:
                return None
            completion = completion.strip(" \t\r\n")
            if len(completion) > MAX_ANSWER:
                return None
        return short_answers.yes_or_no(completion)

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """1 for only the right word, else 0; `paper`: see `repic.objectives.released`."""
        if mode == "paper":
            return released.yes_or_no(completion, row)
        answer = self.parse(completion, row, convention)
        right = float(answer == row["answer"])
        reason = "malformed" if answer is None else "right" if right else "wrong"
        components = {"correct": right, "format": float(answer is not None)}
        return Reward(right, components, reason, answer)

    def wrong(self, row: Row, convention: Convention) -> str:
        """The other one of yes and no."""
        return "no" if row["answer"] == "yes" else "yes"

    def blind(self, task: str, rows: Sequence[Row]) -> BlindAnswers:
        """One word for all questions."""
        return lambda row, convention: {word: word for word in ("yes", "no")}


@dataclass(frozen=True)
class OctQuestions:
    """Which objects are asked for in which photos; one of each array per question.

    Attributes:
        shown: Object whose crop is the reference.
        target: An object of the query: the same one if the answer is yes.
        present: Whether the answer is yes.
        same_photo: Whether it is about crops of the query itself.
        pair: The pair (of the corpus of all photos) that links the two, -1 if none does.
    """

    shown: Ints
    target: Ints
    present: Flags
    same_photo: Flags
    pair: Ints

    @classmethod
    def joined(cls, parts: Iterable[tuple[Ints, Ints, bool, bool, Ints | None]]) -> OctQuestions:
        """The questions of several parts; the flags are those of a whole part."""
        kept = [part for part in parts if len(part[0])]
        columns = [
            (
                shown,
                target,
                np.full(len(shown), present),
                np.full(len(shown), same_photo),
                np.full(len(shown), -1) if pair is None else pair,
            )
            for shown, target, present, same_photo, pair in kept
        ]
        empty = np.zeros(0, np.int64)
        nothing = (empty, empty, empty.astype(bool), empty.astype(bool), empty)
        return cls(*map(np.concatenate, zip(nothing, *columns, strict=True)))


def choose(
    corpus: Corpus, references: Ints, settings: ExampleSettings, refused: Counter[str]
) -> OctQuestions:
    """The questions about usable pairs and, by `settings.same_photo`, about crops of the query.

    There is one per positive, and negatives by `settings.oct`, in each split. The share of a
    band that has too few pairs goes to the others.

    Args:
        references: The objects that are a reference of their own photo, ordered by a hash.
    """
    negatives = _negatives(corpus, settings, refused)
    parts: list[_Part] = []
    for split in range(len(SPLITS)):
        of_split = corpus.split[corpus.photo[corpus.anchor]] == split
        positives = np.flatnonzero(of_split & corpus.positive)
        parts += _of_pairs(corpus, positives, negatives[split], settings)
        own = references[corpus.split[corpus.photo[references]] == split]
        parts += _of_same_photos(corpus, own, settings, refused)
    return OctQuestions.joined(parts)


_Part = tuple[Ints, Ints, bool, bool, "Ints | None"]


def _negatives(
    corpus: Corpus, settings: ExampleSettings, refused: Counter[str]
) -> list[dict[str, Ints]]:
    """Of each split: band -> the negative pairs whose anchor is certainly absent from the photo.

    The bands are ordered from hard to easy, the pairs of each by a hash. Beside crops of the query,
    negatives are about objects that recur, as positives are: a photo of a source whose objects
    never recur must not mean "no".
    """
    wanted = ~corpus.positive
    if settings.same_photo.use != "never":
        wanted &= corpus.recurs[corpus.anchor] & corpus.recurs[corpus.other]
    if uncertain := int((wanted & ~corpus.absences[0]).sum()):
        refused["anchor_may_be_in_the_query"] += uncertain
    pairs = np.flatnonzero(wanted & corpus.absences[0])
    order = ranks(seed_of(settings.seed, "oct", "negative"), corpus.pair_keys[pairs])
    pairs = pairs[np.lexsort((pairs, order))]
    split = corpus.split[corpus.photo[corpus.anchor[pairs]]]
    bands = sorted(HARDNESS, key=HARDNESS.__getitem__)
    band = pc.index_in(corpus.pairs["band"], pa.array(bands)).to_numpy()[pairs]
    return [
        {name: pairs[(split == s) & (band == b)] for b, name in enumerate(bands)}
        for s in range(len(SPLITS))
    ]


def _of_pairs(
    corpus: Corpus, positives: Ints, negatives: Mapping[str, Ints], settings: ExampleSettings
) -> Iterator[_Part]:
    """Questions about the positive pairs of a split, and about negatives by their bands.

    Look-alikes are what pairs lack beside crops of the query.
    """
    wanted = round(len(positives) * settings.oct.negatives_per_positive)
    chosen = by_shares(negatives, settings.oct.band_shares, wanted)
    for pairs, present in ((positives, True), (chosen, False)):
        yield corpus.anchor[pairs], corpus.other[pairs], present, False, corpus.pair[pairs]
    if settings.same_photo.use == "never":
        return
    targets = same_photo.in_order(corpus, np.unique(corpus.other[positives]), settings.seed)
    found = same_photo.look_alikes(corpus, targets, ceil(settings.oct.negatives_per_positive))
    shown, target = found.ravel(), np.repeat(targets, found.shape[1])
    count = len(corpus.photo)
    asked = np.unique(corpus.anchor[chosen] * count + corpus.other[chosen])
    is_new = (shown >= 0) & ~contains(asked, shown * count + target)
    more = np.flatnonzero(is_new)[: wanted - len(chosen)]
    yield shown[more], target[more], False, False, None


def _of_same_photos(
    corpus: Corpus, references: Ints, settings: ExampleSettings, refused: Counter[str]
) -> Iterator[_Part]:
    """Questions about crops of the query, and as many about another object of the same label.

    An object without another one of its label is left out: "yes" would be the answer to every
    question about it.
    """
    per_positive = settings.oct.negatives_per_positive
    found = same_photo.look_alikes(corpus, references, ceil(per_positive))
    used = (found >= 0).any(axis=1) | (not found.shape[1])
    if not used.all():
        refused["no_other_object_of_its_label"] += int((~used).sum())
    targets, found = references[used], found[used]
    yield targets, targets, True, True, None
    # The first other object of each target, then the second ones.
    shown, target = found.T.ravel(), np.tile(targets, found.shape[1])
    kept = np.flatnonzero(shown >= 0)[: round(len(targets) * per_positive)]
    yield shown[kept], target[kept], False, True, None


def _row(
    near: Neighborhood, question: OctQuestion, pair: Pair | None, settings: ExampleSettings
) -> Row:
    shown, present = near.objects[question.shown], question.present
    identifiers = (pair.pair_id,) if pair else (question.origin, question.shown, question.target)
    seed = seed_of(settings.seed, "oct", *identifiers)
    rng = SeededRandom(seed)
    template = rng.pick(TEMPLATES)
    avoid = [shown.label, *near.texts]
    [(name, locale)] = draw_names(rng, 1, settings.names.locales, avoid)
    tag = f"<{name}>"
    changed = same_photo.augmentation(settings, seed, shown)
    return example_row(
        "oct",
        "positive" if present else "negative",
        near.split,
        template,
        [
            image_block(),
            text_block(INTRODUCTION.format(name=tag)),
            image_block(),
            text_block(f"{template.text.format(name=tag)} {INSTRUCTION}"),
        ],
        [reference_picture(near, shown, changed), query_picture(near.photo)],
        "yes" if present else "no",
        seed,
        references=[reference_row(name, locale, "", present, shown)],
        origin=question.origin,
        pairs=[pair] if pair else [],
    )
