"""VLT, visual localisation: where is the object that an expression refers to? A box.

Only unambiguous questions are asked: about a label that one object of the photo has, or an
expression of the source that no other object of the photo has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from repic.captions.noun_phrases import has_determiner, is_plural, without_determiner
from repic.config import SPLITS, ExampleSettings
from repic.images.box_text import read_box
from repic.images.coordinates import Box, BoxError, Convention
from repic.objectives import box_words, lazy_answers, released
from repic.objectives.base import (
    Draft,
    Mode,
    Reward,
    Row,
    SeededRandom,
    Template,
    example_row,
    image_block,
    made,
    query_picture,
    rank,
    seed_of,
    templates,
    text_block,
)
from repic.objectives.candidate_crops import CandidateCrops, visible
from repic.objectives.corpus import Corpus, Flags, Ints
from repic.objectives.neighborhood import Neighborhood, Object, Photo
from repic.objectives.objective import BlindAnswers, Objective
from repic.objectives.query_view import QueryView, box_in_view

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
NO_CANDIDATES = "no photo has an object of fair size that a label or expression singles out"
"""Why there are no rows."""

HIT = 0.5
"""IoU from which the reason of a reward is `right`."""


@dataclass(frozen=True)
class VltQuestions:
    """Questions of all photos.

    Attributes:
        target: Object that is asked for, int (n,).
        crop: The crop of its photo that is shown, float (n, 4), NaN for the whole photo.
    """

    target: Ints
    crop: NDArray[np.float64]


class Vlt(Objective):
    """The VLT objective."""

    name = "vlt"
    title = "Visual localization"
    question = "Where is the object that an expression describes? One box."
    templates = TEMPLATES
    needed = ("images", "box")
    answers_with_box = True
    needs_pairs = False
    least = HIT  # the true box, as the model writes it

    def rows(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Row]:
        """The rows of the drafts."""
        return made(self.drafts(near, settings, refused))

    def drafts(
        self, near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
    ) -> Iterator[Draft]:
        """The rows of the targets in a photo that `choose` has chosen."""
        for target in near.targets:
            obj = near.objects[target.object_id]
            yield Draft((target,), partial(_row, near, obj, target.crop, settings))

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

    def wrong(self, row: Row, convention: Convention) -> str:
        """The quarter of the picture that overlaps the true box least."""
        view, true = QueryView.of(row), box_in_view(row)
        width, height = view.width / 2, view.height / 2
        corners = [Box(x, y, x + width, y + height) for x in (0.0, width) for y in (0.0, height)]
        return convention.render(min(corners, key=true.iou), view.width, view.height)

    def blind(self, task: str, rows: Sequence[Row]) -> BlindAnswers:
        """One box for all photos; see `repic.objectives.lazy_answers`."""
        box = Box(*lazy_answers.measure(rows)[0].box)
        x1, y1, x2, y2 = (f"{100 * side:.0f}" for side in box.as_list())
        label = f"the box from {x1} to {x2} % across, {y1} to {y2} % down"

        def answers(row: Row, convention: Convention) -> dict[str, str]:
            view = QueryView.of(row)
            scaled = box.scale(view.width, view.height)
            return {label: convention.render(scaled, view.width, view.height)}

        return answers


def candidates(
    near: Neighborhood, settings: ExampleSettings, refused: Counter[str]
) -> Iterator[tuple[Object, bool]]:
    """Up to `settings.vlt.max_per_photo` different objects of a photo that can be asked for.

    Yields:
        The object, and whether its label is asked for.
    """
    targets = [obj for obj in near.own if _has_usable_size(obj, settings, refused)]
    order = seed_of(settings.seed, "vlt", near.photo.image_id)
    targets.sort(key=lambda obj: (rank(order, obj.object_id), obj.object_id))
    count = 0
    for target in targets:
        if count == settings.vlt.max_per_photo:
            break
        if choices := _referring_expressions(near.photo, target, near.own):
            yield target, choices[0][0] == "label"
            count += 1
        elif target.spoken is None:
            refused["no_label_is_sure"] += 1
        else:
            refused["no_expression_for_it_alone"] += 1


def choose(
    corpus: Corpus,
    target: Ints,
    is_label: Flags,
    settings: ExampleSettings,
    refused: Counter[str],
) -> VltQuestions:
    """The questions about these candidates of all photos.

    Crops and rows are chosen so that no fixed box answers many rows, see `lazy_answers`.

    Args:
        target: Objects that can be asked for, int (n,).
        is_label: Whether its label is asked for, and not an expression; bool (n,).
    """
    photo = corpus.photo[target]
    size = np.stack([corpus.photos[side].to_numpy()[photo] for side in ("width", "height")], axis=1)
    boxes = corpus.boxes[target] * np.tile(1 / size, 2)
    splits = np.array(SPLITS)[corpus.split[photo]].tolist()
    most = settings.vlt.max_lazy_iou
    crop = np.full((len(boxes), 4), np.nan)
    if settings.vlt.crops and lazy_answers.need_crops(boxes, splits, most):
        ids = corpus.objects["object_id"].take(pa.array(target)).to_pylist()
        seeds = [
            seed_of(settings.seed, "view", object_id) if of_label else None
            for object_id, of_label in zip(ids, is_label.tolist(), strict=True)
        ]
        views = CandidateCrops.of(corpus.boxes[target], size, seeds)
        picks = lazy_answers.choose_crops(views, splits, most)
        cropped = np.flatnonzero(picks)
        boxes[cropped] = views.shares[cropped, picks[cropped]]
        crop[cropped] = views.crops[cropped, picks[cropped]]
    kept = lazy_answers.choose_rows(boxes, splits, most)
    if not kept.all():
        refused["a_fixed_box_answers_it"] += int((~kept).sum())
    return VltQuestions(target[kept], crop[kept])


def _row(
    near: Neighborhood,
    target: Object,
    crop: Box | None,
    settings: ExampleSettings,
) -> Row:
    choices = _referring_expressions(near.photo, target, near.own)
    seed = seed_of(settings.seed, "vlt", target.object_id)
    rng = SeededRandom(seed)
    template = rng.pick(TEMPLATES)
    kind, text = rng.pick(choices)
    box = Box(*target.box)
    return example_row(
        "vlt",
        kind,
        near.split,
        template,
        [image_block(), text_block(question(template, text))],
        [query_picture(near.photo, crop)],
        "{box}",
        seed,
        box=(visible(box, crop) if crop else box).as_list(),
    )


def _referring_expressions(
    photo: Photo, target: Object, objects: Sequence[Object]
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


def _has_usable_size(obj: Object, settings: ExampleSettings, refused: Counter[str]) -> bool:
    if obj.area_share > settings.vlt.max_area_share:
        refused["too_large"] += 1
        return False
    return Box.of(obj.box).area > 0
