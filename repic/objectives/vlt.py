"""VLT, visual localisation: where is the object that an expression refers to? A box.

Only unambiguous questions are asked: about a label that one object of the photo has, or an
expression of the source that no other object of the photo has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from repic.captions.noun_phrases import has_determiner, is_plural, without_determiner
from repic.config import ExampleSettings
from repic.images.box_text import read_box
from repic.images.coordinates import Box, BoxError, Convention
from repic.objectives import box_words, lazy_answers, released
from repic.objectives.base import (
    ExampleDraft,
    Mode,
    ObjectiveSummary,
    Reward,
    Row,
    SeededRandom,
    Template,
    draft_key,
    example_row,
    image_block,
    query_picture,
    rank,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.candidate_crops import CandidateCrops, visible
from repic.objectives.corpus import Corpus, Object, Photo
from repic.objectives.query_view import QueryView

TEMPLATES = templates(
    "vlt",
    (
        "Where {is} {what}? Answer in JSON with {its} bounding box as bbox_2d.",
        "Find {what} in this picture and give {its} bounding box in JSON, under the key bbox_2d.",
        "Locate {what}. Reply with JSON that holds one bbox_2d.",
        "Draw a box around {what}: answer in JSON with the key bbox_2d.",
        "Point out {what} in the photo. Give one bounding box as JSON (bbox_2d).",
        "Which part of the picture shows {what}? Write the bbox_2d of that part as JSON.",
        "Give the bounding box of {what}, as JSON with a single bbox_2d.",
        "Look for {what}. In JSON, what is {its} bbox_2d?",
        "Mark {what} with one tight box. Output JSON with the key bbox_2d.",
        "I am looking for {what}. Tell me where, as JSON with one bbox_2d.",
        "Detect {what} and report the bbox_2d in JSON, and nothing else.",
        "Ground this in the picture: {what}. Use JSON with one bbox_2d.",
    ),
)
HIT = 0.5
"""IoU from which the reason of a reward is `right`."""


@dataclass(frozen=True)
class _Candidate:
    """A question about an object; what it shows of the photo is not yet chosen.

    Attributes:
        choices: Texts that refer to the object alone, as `(kind, text)`.
    """

    photo: Photo
    target: Object
    choices: tuple[tuple[str, str], ...]
    split: str
    seed: int

    @property
    def share(self) -> list[float]:
        """The box as shares of the photo's width and height."""
        return Box.of(self.target.box).scale(1 / self.photo.width, 1 / self.photo.height).as_list()

    @cached_property
    def crops(self) -> CandidateCrops:
        """What the question may show: the photo or a crop of it.

        A crop shows no other thing in place of the object, but may make an expression such as "on
        the left" false: only a label is asked about a crop.
        """
        photo, box = self.photo, Box.of(self.target.box)
        rng = SeededRandom(seed_of(self.seed, "view", self.target.object_id))
        is_label = all(kind == "label" for kind, _ in self.choices)
        return CandidateCrops.of(box, photo.width, photo.height, rng if is_label else None)

    def draft(self, crop: Box | None, settings: ExampleSettings) -> ExampleDraft:
        """The draft of the row that shows a crop, or with None the whole photo."""
        shown = () if crop is None else (crop,)
        key = draft_key("vlt", self.split, self.target, list(self.choices), self.photo, *shown)
        return ExampleDraft(key, partial(self._row, crop, settings))

    def _row(self, crop: Box | None, settings: ExampleSettings) -> Row:
        seed = seed_of(settings.seed, "vlt", self.target.object_id)
        rng = SeededRandom(seed)
        template = rng.pick(TEMPLATES)
        kind, text = rng.pick(self.choices)
        box = Box.of(self.target.box)
        return example_row(
            "vlt",
            kind,
            self.split,
            template,
            [image_block(), text_block(question(template, text))],
            [query_picture(self.photo, crop)],
            "{box}",
            seed,
            box=(visible(box, crop) if crop else box).as_list(),
        )


class Vlt:
    """The VLT objective."""

    name = "vlt"
    templates = TEMPLATES

    def drafts(
        self, corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
    ) -> Iterator[ExampleDraft]:
        """Up to `settings.vlt.max_per_photo` drafts per photo, each about a different object.

        Crops and rows are chosen so that no fixed box answers many rows, see `lazy_answers`.
        """
        candidates = list(self._candidates(corpus, settings, summary))
        most = settings.vlt.max_lazy_iou
        splits = [candidate.split for candidate in candidates]
        boxes = np.array([c.share for c in candidates]).reshape(-1, 4)
        picks = np.zeros(len(candidates), np.int64)
        if settings.vlt.crops:
            picks = lazy_answers.choose_crops(
                boxes, splits, most, lambda i: candidates[i].crops.shares
            )
            for i in np.flatnonzero(picks):
                boxes[i] = candidates[i].crops.shares[picks[i]]
        kept = lazy_answers.choose_rows(boxes, splits, most)
        for candidate, pick, keep in zip(candidates, picks, kept, strict=True):
            if keep:
                yield candidate.draft(candidate.crops.crops[pick] if pick else None, settings)
            else:
                summary.refused["a_fixed_box_answers_it"] += 1

    def _candidates(
        self, corpus: Corpus, settings: ExampleSettings, summary: ObjectiveSummary
    ) -> Iterator[_Candidate]:
        has_rows = False
        for image_id, split in sorted(corpus.splits.items()):
            photo = corpus.photos[image_id]
            targets = [
                obj
                for obj in corpus.objects_of[image_id]
                if _has_usable_size(obj, settings, summary)
            ]
            order = seed_of(settings.seed, "vlt", image_id)
            targets.sort(key=lambda obj: (rank(order, obj.object_id), obj.object_id))
            count = 0
            for target in targets:
                if count == settings.vlt.max_per_photo:
                    break
                choices = _referring_expressions(photo, target, corpus.objects_of[image_id])
                if choices:
                    yield _Candidate(photo, target, tuple(choices), split, settings.seed)
                    count += 1
                elif target.spoken is None:
                    summary.refused["no_label_is_sure"] += 1
                else:
                    summary.refused["no_expression_for_it_alone"] += 1
            has_rows = has_rows or count > 0
        if not has_rows:
            summary.why = (
                "no photo has an object of fair size that a label or expression singles out"
            )

    def parse(self, completion: str, row: Mapping[str, Any], convention: Convention) -> Box:
        """The box of the answer, in pixels of the query photo.

        Raises:
            BoxError: the answer does not have exactly one unambiguous box, see `Convention.parse`,
                or its other words are not about that box, see `repic.objectives.box_words`.
        """
        written = read_box(completion)
        if written.around:
            texts = (block["text"] for block in row.get("prompt") or () if block["text"])
            box_words.check(written.around, "\n".join(texts))
        return QueryView.of(row).box_of(written, convention)

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """IoU with the true box; `paper`: see `repic.objectives.released`."""
        if mode == "paper":
            return released.box(completion, row, convention)
        try:
            box = self.parse(completion, row, convention)
        except BoxError as error:
            return Reward(0.0, {"iou": 0.0, "format": 0.0}, error.reason)
        iou = box.iou(Box.of(row["box"]))
        reason = "right" if iou >= HIT else "wrong"
        return Reward(iou, {"iou": iou, "format": 1.0}, reason, box.as_list())


def _referring_expressions(
    photo: Photo, target: Object, objects: list[Object]
) -> list[tuple[str, str]]:
    """Texts that refer to the target and to no other object of the photo, as `(kind, text)`.

    These are the source's expressions, or else the label that may be spoken, if neither the
    detector nor the source knows another object with that label.
    """
    others = [obj for obj in objects if obj.object_id != target.object_id]
    taken = Counter(
        _key(text)
        for other in others
        for text in {*other.expressions, other.label, other.spoken or other.label}
    )
    described = Counter(map(_key, photo.labels))
    unambiguous = [
        ("expression", text)
        for text in sorted({text.strip() for text in target.expressions})
        if text and not taken[_key(text)] and described[_key(text)] <= 1
    ]
    if unambiguous:
        return unambiguous
    if target.spoken is None:
        return []
    label = _key(target.spoken)
    if target.same_label_count == 1 and not taken[label] and described[label] <= 1:
        return [("label", target.spoken.strip())]
    return []


def question(template: Template, expression: str) -> str:
    """The template about an expression, with an article and in its number.

    `Where is the dog?`, `Where are the sunglasses?`
    """
    what = expression.rstrip(".")
    what = what if has_determiner(what) else f"the {what}"
    words = {"is": "are", "its": "their"} if is_plural(what) else {"is": "is", "its": "its"}
    return template.text.format(what=what, **words)


def _key(text: str) -> str:
    return without_determiner(" ".join(text.casefold().split()).rstrip("."))


def _has_usable_size(obj: Object, settings: ExampleSettings, summary: ObjectiveSummary) -> bool:
    if obj.area_share > settings.vlt.max_area_share:
        summary.refused["too_large"] += 1
        return False
    return Box.of(obj.box).area > 0
