"""VLT, visual localisation: where is the one object that an expression points to? A box.

Asked is only what has one answer: a label that a single object of the photo has, or an expression
of the source that no other object of the photo shares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from repic.config.build import Examples
from repic.images.coordinates import Box, BoxError, Convention
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
    rank,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.corpus import Material, Object, Photo

TEMPLATES = templates(
    "vlt",
    (
        "Where is {what}? Answer in JSON with its bounding box as bbox_2d.",
        "Find {what} in this picture and give its bounding box in JSON, under the key bbox_2d.",
        "Locate {what}. Reply with JSON that holds one bbox_2d.",
        "Draw a box around {what}: answer in JSON with the key bbox_2d.",
        "Point out {what} in the photo. Give one bounding box as JSON (bbox_2d).",
        "Which part of the picture shows {what}? Write the bbox_2d of that part as JSON.",
        "Give the bounding box of {what}, as JSON with a single bbox_2d.",
        "Look for {what}. In JSON, what is its bbox_2d?",
        "Mark {what} with one tight box. Output JSON with the key bbox_2d.",
        "I am looking for {what}. Tell me where, as JSON with one bbox_2d.",
        "Detect {what} and report the bbox_2d in JSON, and nothing else.",
        "Ground this in the picture: {what}. Use JSON with one bbox_2d.",
    ),
)
PAPER_IOU = 0.5
_PAPER_BOX = re.compile(r"\[(\d{1,9}),\s*(\d{1,9}),\s*(\d{1,9}),\s*(\d{1,9})\]")
_ARTICLE = re.compile(r"(?:the|a|an|this|that|his|her|their|its|my|your)\s", re.IGNORECASE)


class Vlt:
    """The VLT objective."""

    name = "vlt"
    templates = TEMPLATES

    def drafts(self, material: Material, settings: Examples, note: Note) -> Iterator[Draft]:
        """Up to `settings.vlt.max_per_photo` rows per photo, each about another object."""
        any_row = False
        for image_id, split in sorted(material.splits.items()):
            photo = material.photos[image_id]
            asked = [
                thing
                for thing in material.objects_of[image_id]
                if _has_a_fair_size(thing, settings, note)
            ]
            order = seed_of(settings.seed, "vlt", image_id)
            asked.sort(key=lambda thing: (rank(order, thing.object_id), thing.object_id))
            made = 0
            for thing in asked:
                if made == settings.vlt.max_per_photo:
                    break
                if choices := expressions(photo, thing, material.objects_of[image_id]):
                    key = key_of("vlt", split, thing, choices, photo)
                    yield Draft(key, partial(_row, photo, thing, choices, split, settings))
                    made += 1
                else:
                    note.refused["no_expression_for_it_alone"] += 1
            any_row = any_row or made > 0
        if not any_row:
            note.why = "no photo has an object of fair size that a label or expression singles out"

    def parse(self, completion: str, row: Mapping[str, Any], convention: Convention) -> Box:
        """The one box of the answer, in pixels of the query photo.

        Raises:
            BoxError: the answer is not one unambiguous box; see `Convention.parse`.
        """
        query = row["images"][-1]
        return convention.parse(completion, query["width"], query["height"])

    def reward(
        self, completion: str, row: Mapping[str, Any], mode: Mode, convention: Convention
    ) -> Reward:
        """IoU with the true box; `paper`: 1 if the first `[int, int, int, int]` has IoU >= 0.5."""
        if mode == "paper":
            return _paper_reward(completion, row, convention)
        try:
            box = self.parse(completion, row, convention)
        except BoxError as error:
            return Reward(0.0, {"iou": 0.0, "format": 0.0}, error.reason)
        iou = box.iou(Box.of(row["box"]))
        reason = "right" if iou >= PAPER_IOU else "wrong"
        return Reward(iou, {"iou": iou, "format": 1.0}, reason, box.as_list())


def expressions(photo: Photo, thing: Object, things: list[Object]) -> list[tuple[str, str]]:
    """What points to this object and to no other of the photo, as `(kind, text)`.

    The source's expressions come first; the label is used only where there are none. A label counts
    for all objects that have it, found by the detector or described by the source.
    """
    others = [other for other in things if other.object_id != thing.object_id]
    taken = Counter(_key(text) for other in others for text in {*other.expressions, other.label})
    described = Counter(map(_key, photo.labels))
    given = [
        ("expression", text)
        for text in sorted({text.strip() for text in thing.expressions})
        if text and not taken[_key(text)] and described[_key(text)] <= 1
    ]
    if given:
        return given
    label = _key(thing.label)
    if thing.same_label_count == 1 and not taken[label] and described[label] <= 1:
        return [("label", thing.label.strip())]
    return []


def _key(text: str) -> str:
    words = " ".join(text.casefold().split()).rstrip(".")
    return _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) else words


def _has_a_fair_size(thing: Object, settings: Examples, note: Note) -> bool:
    if thing.area_share > settings.vlt.max_area_share:
        note.refused["too_large"] += 1
        return False
    return Box.of(thing.box).area > 0


def _row(
    photo: Photo, thing: Object, choices: list[tuple[str, str]], split: str, settings: Examples
) -> Row:
    seed = seed_of(settings.seed, "vlt", thing.object_id)
    draw = Draw(seed)
    template = draw.pick(TEMPLATES)
    kind, text = draw.pick(choices)
    what = text.rstrip(".")
    if not _ARTICLE.match(what):
        what = f"the {what}"
    return example(
        "vlt",
        kind,
        split,
        template,
        [image_block(), text_block(template.text.format(what=what))],
        [query_picture(photo)],
        "{box}",
        seed,
        box=list(thing.box),
    )


def _paper_reward(completion: str, row: Mapping[str, Any], convention: Convention) -> Reward:
    match = _PAPER_BOX.search(completion)
    if match is None:
        return Reward(0.0, {"iou": 0.0, "format": 0.0}, "missing")
    query = row["images"][-1]
    values = [float(number) for number in match.groups()]
    box = convention.to_pixels(values, query["width"], query["height"])
    iou = box.iou(Box.of(row["box"]))
    hit = float(iou >= PAPER_IOU)
    return Reward(hit, {"iou": iou, "format": 1.0}, "right" if hit else "wrong", box.as_list())
