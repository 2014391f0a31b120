"""Playground: a photo and named references, what a model says, and what that would earn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from secrets import token_urlsafe
from threading import Lock
from typing import Any, get_args

from cachetools import LRUCache
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from repic import config
from repic.config import Protocol
from repic.errors import FIXABLE
from repic.evaluation.retrieval import names_above
from repic.evaluation.single_photo import MOST, PhotoCaption
from repic.evaluation.suites.base import Concept
from repic.models.shipped import VLMS
from repic.objectives.balance import kind_of
from repic.report.pictures import BoxOverlay
from repic.rewards import scoring
from repic.studio import uploads
from repic.studio.model_process import ModelBusyError, models_of
from repic.studio.model_work import CaptionTask, NamedPicture
from repic.studio.site import PageNotFoundError, Studio
from repic.studio.uploads import UploadedPicture, UploadRefusedError
from storage.store import Store

NAME, PATH = "Playground", "/playground"
KEPT_BYTES = 32 << 20
"""Of small copies of pictures in memory; answers older than that are forgotten."""

OFFERED = 20
"""Checkpoints to choose from."""

LONGEST_NAME, LONGEST_INFO = 60, 300
"""Characters."""

SHOWN: Mapping[str, Protocol] = {"all": "skip-retrieval", "found": "retrieval"}
"""Choice of the references that the model sees -> protocol."""

Found = dict[str, Any]


@dataclass(frozen=True)
class GivenReference:
    """A reference that a person gave, and whether they say that it is in the photo."""

    name: str
    info: str
    is_present: bool
    picture: UploadedPicture


@dataclass(frozen=True)
class Asked:
    """What a person asked for."""

    model: str
    profile: str
    shown: str
    threshold: float | None
    photo: UploadedPicture
    references: tuple[GivenReference, ...]

    def task(self) -> CaptionTask:
        """The same for the process of the models."""
        return CaptionTask(
            self.model,
            self.profile,
            SHOWN[self.shown],
            self.threshold,
            self.photo.data,
            tuple(NamedPicture(r.name, r.info, r.picture.data) for r in self.references),
        )


@dataclass(frozen=True)
class Answered:
    """An answer, without the files that it was made from.

    Attributes:
        pictures: JPEGs of the photo and of the references.
        present: Names that the person said are in the photo.
        size: Width and height of the photo in pixels.
    """

    model: str
    profile: str
    pictures: tuple[bytes, ...]
    names: tuple[str, ...]
    present: frozenset[str]
    size: tuple[int, int]
    result: PhotoCaption

    @property
    def bytes(self) -> int:
        """Of its pictures."""
        return sum(map(len, self.pictures))


class AnswersInMemory:
    """The last answers by an address that nobody can guess. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: LRUCache[str, Answered] = LRUCache(
            KEPT_BYTES, getsizeof=lambda answered: answered.bytes
        )

    def add(self, answered: Answered) -> str:
        """Its address."""
        place = token_urlsafe(16)
        with self._lock:
            self._answers[place] = answered
        return place

    def find(self, place: str) -> Answered:
        """Raises: PageNotFoundError: it is forgotten."""
        with self._lock:
            answered = self._answers.get(place)
        if answered is None:
            raise PageNotFoundError("This answer is not kept any more: give the pictures again.")
        return answered


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()
    kept = AnswersInMemory()

    @routes.get("/playground")
    def form(request: Request) -> Response:
        return _page(studio, request)

    @routes.post("/playground")
    async def ask(request: Request) -> Response:
        try:
            given = await uploads.form_of(request, MOST + 1, 8 + 3 * MOST)
            files = [await uploads.file_of(given, name) for name in _file_names()]
        except UploadRefusedError as error:
            return _page(studio, request, error=str(error), status=422)
        return await run_in_threadpool(partial(_asked, studio, request, kept, given, files))

    @routes.get("/playground/{place}")
    def answer(request: Request, place: str) -> Response:
        return _page(studio, request, place=place, answered=kept.find(place))

    @routes.get("/playground/{place}/{number}.jpg")
    def picture(place: str, number: int) -> Response:
        pictures = kept.find(place).pictures
        if not 0 <= number < len(pictures):
            raise PageNotFoundError(f"This answer has no picture {number}.")
        return Response(pictures[number], media_type="image/jpeg")

    return routes


def _asked(
    studio: Studio, request: Request, kept: AnswersInMemory, given: FormData, files: list[bytes]
) -> Response:
    try:
        asked = read_form(studio.store, given, files)
        result = studio.models.ask(asked.task())
    except FIXABLE as error:
        status = 429 if isinstance(error, ModelBusyError) else 422
        return _page(studio, request, error=str(error), status=status)
    pictures = (asked.photo, *(r.picture for r in asked.references))
    answered = Answered(
        asked.model,
        asked.profile,
        tuple(picture.shown for picture in pictures),
        tuple(r.name for r in asked.references),
        frozenset(r.name for r in asked.references if r.is_present),
        (asked.photo.width, asked.photo.height),
        result,
    )
    return RedirectResponse(f"{PATH}/{kept.add(answered)}", 303)


def _page(
    studio: Studio,
    request: Request,
    *,
    place: str = "",
    answered: Answered | None = None,
    error: str = "",
    status: int = 200,
) -> Response:
    return studio.page(
        request,
        "playground.html",
        status=status,
        error=error,
        place=place,
        answered=answered,
        found=_found(answered) if answered else None,
        models=models_of(studio.store)[: OFFERED + len(VLMS)],
        profiles=config.profiles(),
        most=MOST,
        limits=uploads,
    )


def _file_names() -> list[str]:
    return ["photo", *(f"reference{number}" for number in range(MOST))]


def read_form(store: Store, given: FormData, files: Sequence[bytes]) -> Asked:
    """What a form asks for; its pictures can be decoded.

    Args:
        files: Bytes of the photo, and of `MOST` references; empty where none was chosen.

    Raises:
        UploadRefusedError: a field is missing or wrong; the message says which.
    """
    model = _chosen(given, "model", models_of(store))
    profile = _chosen(given, "profile", config.profiles())
    shown = _chosen(given, "shown", list(SHOWN))
    photo = uploads.checked_picture(files[0], "the photo")
    references: list[GivenReference] = []
    for number, data in enumerate(files[1:]):
        name = uploads.text_of(given, f"name{number}", LONGEST_NAME)
        if name or data:
            check_name(name, [r.name for r in references])
            info = uploads.text_of(given, f"info{number}", LONGEST_INFO)
            picture = uploads.checked_picture(data, f"the picture of {name}")
            references.append(GivenReference(name, info, f"present{number}" in given, picture))
    if not references:
        raise UploadRefusedError("Give at least one reference: a name and a picture.")
    return Asked(model, profile, shown, _threshold(given), photo, tuple(references))


def check_name(name: str, others: Sequence[str]) -> None:
    """Raises: UploadRefusedError: a reference cannot have this name beside the others."""
    if not name or "<" in name or ">" in name or not any(c.isalnum() for c in name):
        raise UploadRefusedError("Each reference needs a name, without < and >.")
    if name.lower() in (other.lower() for other in others):
        raise UploadRefusedError(f"Two references are called {name}: rename one of them.")


def _chosen(given: FormData, name: str, among: Sequence[str]) -> str:
    value = str(given.get(name) or among[0])
    if value not in among:
        raise UploadRefusedError(f"There is no {name} {value[:60]!r}: choose one of the list.")
    return value


def _threshold(given: FormData) -> float | None:
    text = uploads.text_of(given, "threshold", 20)
    try:
        value = float(text) if text else None
    except ValueError:
        value = 2.0
    if value is not None and not -1 <= value <= 1:
        raise UploadRefusedError("The least cosine is a number from -1 to 1, or empty.")
    return value


def _found(answered: Answered) -> Found:
    """What the page says of an answer."""
    result = answered.result
    retrieval = result.retrieval
    crops = next(iter(retrieval.crops.values()), []) if retrieval else []
    threshold = (retrieval.threshold if retrieval else None) or 0.0
    part = (0.0, 0.0, *answered.size)
    return {
        "parts": marked(result.caption, answered.names),
        "crops": crops,
        "overlays": [BoxOverlay.of(crop.box, part) for crop in crops],
        "threshold": threshold,
        "retrieved": names_above(crops, threshold),
        "shown": [reference["name"] for reference in result.question.references],
        "references": [_overlays(concept) for concept in result.references],
        "score": rewarded(result, answered.present),
    }


def _overlays(concept: Concept) -> list[BoxOverlay]:
    """The part of a reference that was used, if it is not all of it."""
    (view,) = concept.views
    part = (0.0, 0.0, float(view.width), float(view.height))
    return [] if view.crop == part else [BoxOverlay.of(view.crop, part)]


def marked(caption: str, names: Sequence[str]) -> list[tuple[str, bool]]:
    """The caption in parts, and whether each is a name, with its angle brackets if it has them."""
    longest = sorted(names, key=len, reverse=True)
    either = "|".join(map(re.escape, longest))
    parts = re.split(rf"(<(?:{either})>|\b(?:{either})\b)", caption, flags=re.IGNORECASE)
    return [(text, number % 2 == 1) for number, text in enumerate(parts) if text]


def rewarded(result: PhotoCaption, present: frozenset[str]) -> dict[str, Any]:
    """What each component of the reward says of the caption, as training would.

    Args:
        present: Names that are in the photo.
    """
    references = [{**r, "present": r["name"] in present} for r in result.question.references]
    row = {
        **result.question.row,
        "kind": kind_of(sum(r["present"] for r in references), len(references)),
        "references": references,
        "scene": [],
        "answer": "",
        "caption": None,
    }
    strict, released = (scoring.score(result.caption, row, mode) for mode in _MODES)
    return scoring.explain(row, strict, released)


_MODES = get_args(scoring.Mode)
