"""Examples: the prompt as a model sees it, and the rewards of a text that somebody types."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel

from repic.errors import FIXABLE
from repic.images.augmentation import Augmentation
from repic.images.coordinates import Box, Convention, ConventionError, named_convention
from repic.objectives.base import answer_of, messages
from repic.report.pictures import PagePicture
from repic.rewards import scoring
from repic.studio.model_process import models_of
from repic.studio.model_work import PromptTask
from repic.studio.site import PageNotFoundError, Studio, fields
from repic.studio.versions import VersionTables
from repic.training.rollouts import rollouts_of
from storage.manifest import ArtifactRef

NAME, PATH = "Examples", "/examples"
SIZE = 24
"""Examples on a page."""

Family = Literal["qwen3-vl", "qwen2.5-vl", "qwen2-vl", "internvl", "normalised"]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""Box conventions, as `repic reward explain --convention` has them."""

PIXELS = 3136, 12_845_056
"""Least and most pixels of a resized photo in the processor of Qwen2.5-VL, as published."""

RUNS, MOST_ANSWERS = 5, 48
"""Last training runs whose answers are looked through, and answers on a page."""

LONGEST = 20_000
"""Characters of an answer that is scored."""


class ExampleQuery(BaseModel):
    """The filters in the address; an empty one is any."""

    objective: Literal["", "oct", "vlt", "ict"] = ""
    kind: str = ""
    split: Literal["", "train", "validation", "test"] = ""
    band: Literal["", "easy", "medium", "hard"] = ""
    after: str = ""
    before: str = ""


@dataclass(frozen=True)
class PromptPart:
    """A text of a prompt, or a picture of it by its number.

    Attributes:
        number: Of the picture, from 0; None for a text.
        entry: Of the column `images`.
        width, height: Of the picture, as far as its part and change say.
        boxes: On the picture: rows with x1 ... y2 in its pixels, and how they are drawn.
    """

    role: str
    text: str = ""
    number: int | None = None
    entry: Mapping[str, Any] | None = None
    width: int = 0
    height: int = 0
    boxes: tuple[tuple[Mapping[str, float], str], ...] = ()


@dataclass(frozen=True)
class RunAnswers:
    """Answers to an example that a training run sampled.

    Attributes:
        number: Version of the checkpoint of the run.
        total: Answers that there are; `rows` has the first ones.
    """

    number: int
    checkpoint: str
    total: int
    rows: tuple[Mapping[str, Any], ...]


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/examples")
    def examples(request: Request, wanted: Annotated[ExampleQuery, Query()]) -> Response:
        version = studio.version(request)
        rows, total, before, after = _page(version, wanted)
        return studio.page(
            request,
            "examples.html",
            version=version,
            wanted=wanted,
            rows=rows,
            total=total,
            before=before,
            after=after,
            kinds=sorted(pc.unique(version.examples["kind"]).to_pylist()),
        )

    @routes.get("/examples/{example_id}")
    def example(request: Request, example_id: str, family: Family = "qwen3-vl") -> Response:
        version = studio.version(request)
        row = _row(version, example_id)
        units = _convention(family)
        return studio.page(
            request,
            "example.html",
            version=version,
            row=row,
            parts=_parts(row, units),
            answer=answer_of(row, units),
            family=family,
            families=FAMILIES,
            score=None,
            typed="",
            models=models_of(studio.store),
            answers=_answers(studio, example_id),
        )

    @routes.get("/examples/{example_id}/prompt")
    def prompt(request: Request, example_id: str, model: str) -> Response:
        row = _row(studio.version(request), example_id)
        if model not in models_of(studio.store):
            raise PageNotFoundError("There is no such model: choose one of the list.")
        text = problem = ""
        try:
            text = studio.models.ask(PromptTask(model, row))
        except FIXABLE as error:
            problem = str(error)
        return studio.page(request, "prompt.html", text=text, problem=problem, model=model)

    @routes.post("/examples/{example_id}/score")
    async def score(request: Request, example_id: str) -> Response:
        given = await fields(request)
        return await run_in_threadpool(partial(_scored, studio, request, example_id, given))

    @routes.get("/examples/{example_id}/{number}/{side}.jpg")
    def picture(request: Request, example_id: str, number: int, side: int) -> Response:
        row = _row(studio.version(request), example_id)
        if not 0 <= number < len(row["images"]):
            raise PageNotFoundError(f"Example {example_id} has no picture {number}.")
        entry = row["images"][number]
        crop = tuple(entry["crop"])
        shown = PagePicture(entry["image_id"], entry["uri"], crop, Augmentation.of(entry))
        return studio.picture(shown, side)

    return routes


def _answers(studio: Studio, example_id: str) -> RunAnswers | None:
    """What the newest run that asked an example got for it; None if none of the last ones did."""
    for number in studio.store.versions("checkpoint")[: -RUNS - 1 : -1]:
        checkpoint = studio.store.manifest(ArtifactRef.exact("checkpoint", number))
        answers = rollouts_of(checkpoint)
        if answers is not None:
            found = studio.store.read(answers, filter=pc.field("example_id") == example_id)
            if found.num_rows:
                order = [(name, "ascending") for name in ("step", "group", "sample")]
                rows = found.sort_by(order).slice(0, MOST_ANSWERS).to_pylist()
                shown = tuple({**row, "components": dict(row["components"])} for row in rows)
                return RunAnswers(number, str(checkpoint.ref), found.num_rows, shown)
    return None


def _scored(
    studio: Studio, request: Request, example_id: str, given: Mapping[str, str]
) -> Response:
    """What each component of the reward says of a text."""
    family = given.get("family", FAMILIES[0])
    if family not in FAMILIES:
        raise PageNotFoundError(f"A family is one of {', '.join(FAMILIES)}.")
    row, typed = _row(studio.version(request), example_id), given.get("text", "")[:LONGEST]
    units = _convention(family)
    result = scoring.score(typed, row, "strict", units)
    released = scoring.score(typed, row, "paper", units)
    facts = scoring.explain(row, result, released)
    return studio.page(request, "score.html", score=facts, typed=typed, family=family)


def _convention(family: str) -> Convention:
    try:
        least, most = PIXELS if family == "qwen2.5-vl" else (None, None)
        return named_convention(family, least, most)
    except ConventionError as error:
        raise PageNotFoundError(str(error)) from None


def _row(version: VersionTables, example_id: str) -> dict[str, Any]:
    """All columns of an example; None for one that an older version lacks."""
    found = version.version.rows("examples", "example_id", [example_id])
    if not found:
        raise PageNotFoundError(f"dataset@v{version.number} has no example {example_id}.")
    return found[0]


def _page(
    version: VersionTables, wanted: ExampleQuery
) -> tuple[list[dict[str, Any]], int, str, str]:
    """Rows of a page, their number on all pages, and ids to go back and on from."""
    table = version.examples
    fits = np.ones(table.num_rows, dtype=bool)
    for name in ("objective", "kind", "split", "band"):
        if value := getattr(wanted, name):
            equal = pc.fill_null(pc.equal(table[name], value), False)
            fits &= equal.to_numpy(zero_copy_only=False)
    ids, places = table["example_id"], range(table.num_rows)

    def id_at(row: int) -> str:
        return ids[row].as_py()

    start = bisect_right(places, wanted.after, key=id_at) if wanted.after else 0
    end = bisect_left(places, wanted.before, key=id_at) if wanted.before else len(places)
    found = start + np.flatnonzero(fits[start:end])
    chosen = (found[-SIZE:] if wanted.before else found[:SIZE]).tolist()
    if not chosen:
        return [], int(fits.sum()), "", ""
    rows = table.take(chosen).to_pylist()
    before = id_at(chosen[0]) if fits[: chosen[0]].any() else ""
    after = id_at(chosen[-1]) if fits[chosen[-1] + 1 :].any() else ""
    return rows, int(fits.sum()), before, after


def _parts(row: dict[str, Any], units: Convention) -> list[PromptPart]:
    """The prompt in order; boxes of the answer and of the scene are on the query."""
    parts, number = [], 0
    for message in messages(row, units):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            if block["type"] != "image":
                parts.append(PromptPart(message["role"], block["text"]))
            elif number < len(row["images"]):
                parts.append(_picture_part(message["role"], row, number))
                number += 1
    return parts


def _picture_part(role: str, row: dict[str, Any], number: int) -> PromptPart:
    entry = row["images"][number]
    x1, y1, x2, y2 = entry["crop"]
    width, height = max(1, round(x2 - x1)), max(1, round(y2 - y1))
    boxes = []
    if entry["role"] == "query":
        drawn = [(thing["box"], "") for thing in row["scene"]]
        drawn += [(row["box"], "answer")] if row["box"] is not None else []
        boxes = [(_as_row(Box.of(box).shift(-x1, -y1)), kind) for box, kind in drawn]
    return PromptPart(role, "", number, entry, width, height, tuple(boxes))


def _as_row(box: Box) -> dict[str, float]:
    return {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
