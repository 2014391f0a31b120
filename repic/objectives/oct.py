"""OCT, object consistency: is the named object of image 1 in image 2? Yes or no.

Positives are the usable positive pairs: the crop of the anchor, and the full other photo. Negatives
are usable negative pairs, drawn by band, whose anchor is certainly absent from the other photo.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from repic.config import SPLITS, ExampleSettings
from repic.images.coordinates import Convention
from repic.objectives import released, short_answers
from repic.objectives.base import (
    HARDNESS,
    ExampleDraft,
    Mode,
    ObjectiveSummary,
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
from repic.objectives.corpus import Corpus, Pair, texts_of
from repic.objectives.names import draw_names

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
        """One draft per usable positive pair, and negatives by `settings.oct`, split by split.

        The share of a band that has too few pairs goes to the others.
        """
        positives: dict[str, list[Pair]] = defaultdict(list)
        negatives: dict[str, dict[str, list[tuple[int, Pair]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        order = seed_of(settings.seed, "oct", "negative")
        for pair in corpus.pairs:
            if pair.kind == "positive":
                positives[pair.split].append(pair)
                continue
            anchor, other = corpus.objects[pair.anchor_id], corpus.objects[pair.other_id]
            if not corpus.is_absent(anchor, corpus.photos[other.image_id]):
                summary.refused["anchor_may_be_in_the_query"] += 1
                continue
            negatives[pair.split][pair.band].append((rank(order, pair.pair_id), pair))
        for split in SPLITS:
            wanted = round(len(positives[split]) * settings.oct.negatives_per_positive)
            chosen = _by_band(negatives[split], settings.oct.band_shares, wanted)
            for pair in sorted(positives[split] + chosen, key=lambda pair: pair.pair_id):
                yield _draft(corpus, pair, settings)
        if not any(positives.values()):
            summary.why = "no usable positive pair: nothing was found in two different photos"

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


def _by_band(
    ranked: Mapping[str, list[tuple[int, Pair]]], shares: Mapping[Any, float], wanted: int
) -> list[Pair]:
    """The wanted number of pairs, by the shares of their bands, in order of rank within a band."""
    waiting = {band: [pair for _, pair in sorted(ranked[band], key=_order)] for band in ranked}
    bands = sorted((b for b in waiting if shares.get(b, 0) > 0), key=HARDNESS.__getitem__)
    chosen: list[Pair] = []
    while (missing := wanted - len(chosen)) > 0 and (bands := [b for b in bands if waiting[b]]):
        share_sum = sum(shares[band] for band in bands)
        for band in bands:
            take = min(missing, max(1, round(missing * shares[band] / share_sum)))
            take = min(take, wanted - len(chosen))
            chosen += waiting[band][:take]
            waiting[band] = waiting[band][take:]
    return chosen


def _order(item: tuple[int, Pair]) -> tuple[int, str]:
    return item[0], item[1].pair_id


def _draft(corpus: Corpus, pair: Pair, settings: ExampleSettings) -> ExampleDraft:
    image_ids = [corpus.objects[end].image_id for end in (pair.anchor_id, pair.other_id)]
    key = draft_key("oct", pair, *map(corpus.content, image_ids))
    return ExampleDraft(key, lambda: _row(corpus, pair, settings))


def _row(corpus: Corpus, pair: Pair, settings: ExampleSettings) -> Row:
    seed = seed_of(settings.seed, "oct", pair.pair_id)
    rng = SeededRandom(seed)
    anchor, other = corpus.objects[pair.anchor_id], corpus.objects[pair.other_id]
    query = corpus.photos[other.image_id]
    template = rng.pick(TEMPLATES)
    avoid = [anchor.label, *texts_of(query, corpus.objects_of[query.image_id])]
    [(name, locale)] = draw_names(rng, 1, settings.names.locales, avoid)
    tag = f"<{name}>"
    present = pair.kind == "positive"
    return example_row(
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
        [reference_picture(corpus, anchor), query_picture(query)],
        "yes" if present else "no",
        seed,
        references=[reference_row(name, locale, "", present, anchor)],
        pairs=[pair],
    )
