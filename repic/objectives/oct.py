"""OCT, object consistency: is the named object of image 1 in image 2? Yes or no.

Positives are the usable positive pairs: the crop of the anchor, and the full other photo. Negatives
are usable negative pairs, drawn by band, whose anchor is certainly absent from the other photo. For
objects that no other photo shows, see `repic.objectives.same_photo`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import Any

from repic.config import SPLITS, ExampleSettings
from repic.images.coordinates import Convention
from repic.objectives import released, same_photo, short_answers
from repic.objectives.base import (
    HARDNESS,
    ExampleDraft,
    Mode,
    ObjectiveSummary,
    Origin,
    Reward,
    Row,
    SeededRandom,
    draft_key,
    example_row,
    image_block,
    query_picture,
    rank,
    reference_picture,
    reference_row,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.corpus import Corpus, Object, Pair, texts_of
from repic.objectives.names import draw_names
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


class Oct:
    """The OCT objective."""

    name = "oct"
    templates = TEMPLATES

    def drafts(
        self, corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
    ) -> Iterator[ExampleDraft]:
        """Drafts about usable pairs and, by `settings.same_photo`, about crops of the query itself.

        There is one per positive, and negatives by `settings.oct`, in each split. The share of a
        band that has too few pairs goes to the others.
        """
        has_positives = False
        for make in (_of_pairs, _of_same_photos):
            for question in make(corpus, settings, summary):
                has_positives |= question.present
                yield question.draft(corpus, settings)
        if not has_positives:
            summary.why = same_photo.why_no_rows(settings)

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


def _negatives(
    corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
) -> Mapping[str, Mapping[str, list[Pair]]]:
    """Split -> band -> the negative pairs whose anchor is certainly absent from the other photo.

    The bands are ordered from hard to easy, the pairs of each by a hash.
    """
    found: dict[str, dict[str, list[Pair]]] = {
        split: {band: [] for band in sorted(HARDNESS, key=HARDNESS.__getitem__)} for split in SPLITS
    }
    for pair in corpus.pairs:
        if pair.kind == "positive":
            continue
        anchor, other = corpus.objects[pair.anchor_id], corpus.objects[pair.other_id]
        if settings.same_photo.use != "never" and not (
            corpus.recurs(anchor.object_id) and corpus.recurs(other.object_id)
        ):
            continue
        if corpus.is_absent(anchor, corpus.photos[other.image_id]):
            found[pair.split][pair.band].append(pair)
        else:
            summary.refused["anchor_may_be_in_the_query"] += 1
    order = seed_of(settings.seed, "oct", "negative")
    for pairs in (pairs for bands in found.values() for pairs in bands.values()):
        pairs.sort(key=lambda pair: (rank(order, pair.pair_id), pair.pair_id))
    return found


@dataclass(frozen=True)
class _Question:
    """Whether an object is in a photo.

    Attributes:
        shown: The object whose crop is the reference.
        target: An object of the query: the same one if the answer is yes.
        pair: The pair that links the two, if one does.
    """

    shown: Object
    target: Object
    present: bool
    split: str
    origin: Origin
    pair: Pair | None = None

    @property
    def identifiers(self) -> tuple[str, ...]:
        """What its random choices and its place in the order follow from."""
        if self.pair:
            return (self.pair.pair_id,)
        return (self.origin, self.shown.object_id, self.target.object_id)

    def draft(self, corpus: Corpus, settings: ExampleSettings) -> ExampleDraft:
        contents = (corpus.content(obj.image_id) for obj in (self.shown, self.target))
        about = (self.pair,) if self.pair else (*self.identifiers, self.split)
        return ExampleDraft(
            draft_key("oct", *about, *contents), partial(self._row, corpus, settings)
        )

    def _row(self, corpus: Corpus, settings: ExampleSettings) -> Row:
        seed = seed_of(settings.seed, "oct", *self.identifiers)
        rng = SeededRandom(seed)
        query = corpus.photos[self.target.image_id]
        template = rng.pick(TEMPLATES)
        avoid = [self.shown.label, *texts_of(query, corpus.objects_of[query.image_id])]
        [(name, locale)] = draw_names(rng, 1, settings.names.locales, avoid)
        tag = f"<{name}>"
        changed = same_photo.augmentation(settings, seed, self.shown)
        return example_row(
            "oct",
            "positive" if self.present else "negative",
            self.split,
            template,
            [
                image_block(),
                text_block(INTRODUCTION.format(name=tag)),
                image_block(),
                text_block(f"{template.text.format(name=tag)} {INSTRUCTION}"),
            ],
            [reference_picture(corpus, self.shown, changed), query_picture(query)],
            "yes" if self.present else "no",
            seed,
            references=[reference_row(name, locale, "", self.present, self.shown)],
            origin=self.origin,
            pairs=[self.pair] if self.pair else [],
        )


def _of_pairs(
    corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
) -> Iterator[_Question]:
    """Questions about the positive pairs, and about negative ones by the shares of their bands.

    Beside crops of the query, negatives are about objects that recur, as positives are: a photo of
    a source whose objects never recur must not mean "no". Look-alikes are what pairs lack.
    """
    negatives = _negatives(corpus, settings, summary)
    for split in SPLITS:
        positives = [p for p in corpus.pairs if p.kind == "positive" and p.split == split]
        wanted = round(len(positives) * settings.oct.negatives_per_positive)
        chosen = by_shares(negatives[split], settings.oct.band_shares, wanted)
        for pair in sorted(positives + chosen, key=lambda pair: pair.pair_id):
            shown, target = corpus.objects[pair.anchor_id], corpus.objects[pair.other_id]
            yield _Question(shown, target, pair.kind == "positive", split, "two_photos", pair)
        if settings.same_photo.use != "never":
            targets = {p.other_id: corpus.objects[p.other_id] for p in positives}
            others = same_photo.LookAlikes(corpus, list(targets.values()), settings.seed)
            known = {(pair.anchor_id, pair.other_id) for pair in chosen}
            more = (
                _Question(one, target, False, split, "two_photos")
                for target in same_photo.in_order(targets.values(), settings.seed)
                for one in others.of(target, ceil(settings.oct.negatives_per_positive))
                if (one.object_id, target.object_id) not in known
            )
            yield from islice(more, wanted - len(chosen))


def _of_same_photos(
    corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
) -> Iterator[_Question]:
    """Questions about crops of the query, and as many about another object of the same label.

    An object without another one of its label is left out: "yes" would be the answer to every
    question about it.
    """
    per_positive = settings.oct.negatives_per_positive
    for split, objects in same_photo.objects_of(corpus, settings, summary).items():
        others = same_photo.LookAlikes(corpus, objects, settings.seed)
        count = 0
        negatives: list[list[_Question]] = [[] for _ in range(ceil(per_positive))]
        for target in same_photo.in_order(objects, settings.seed):
            found = others.of(target, len(negatives))
            if negatives and not found:
                summary.refused["no_other_object_of_its_label"] += 1
                continue
            count += 1
            yield _Question(target, target, True, split, "same_photo")
            for questions, one in zip(negatives, found, strict=False):
                questions.append(_Question(one, target, False, split, "same_photo"))
        yield from islice(chain.from_iterable(negatives), round(count * per_positive))
