"""Messages of the reward service: typed, versioned, and without a path, a URL or a module.

A row is sent without its pictures: a score needs only the size of the query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Required, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from repic.captions.facts import fact_words
from repic.config import plugins
from repic.images.coordinates import (
    CONVENTIONS,
    RESIZED,
    Box,
    Convention,
    ConventionError,
    ResizedGrid,
    named_convention,
)
from repic.objectives import objective_of
from repic.objectives.base import Mode, Reward
from repic.objectives.query_view import QueryView
from repic.rewards.bounds import MAX_NAME, MAX_SIDE, excess
from repic.rewards.scoring import score
from repic.rewards.wrappers import Wrapper

SCHEMA: Literal[1] = 1
"""Version of the messages; it rises when a field changes its meaning."""

TOKEN = "REPIC_REWARD_TOKEN"
"""Environment variable of the secret that workers and trainers share."""

SENTENCE = "sentence"
"""Type of a validation error whose message is for the client; it repeats nothing of the request."""


if TYPE_CHECKING:
    ObjectiveName = str
else:  # as a literal, so that the schema of the service lists those of plug-ins
    ObjectiveName = Literal[tuple(plugins.names("objectives"))]


T = TypeVar("T")
Entries = Annotated[list[T], FailFast()]
"""A list of which only the first invalid entry is reported: all of a large body take gigabytes."""


class Message(BaseModel):
    """Base of all messages: unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Factor = Annotated[int, Field(ge=1, le=1024)]
Pixels = Annotated[int, Field(ge=1, le=MAX_SIDE**2)]
Coordinates = Annotated[list[float], Field(min_length=4, max_length=4)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
Photo = Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,64}$")]
"""`image_id` of the query, a hash; only components that look at the photo need it."""


# The parts of a row stay dictionaries, as `score` takes them; models would be converted back.


class SizeMessage(TypedDict):
    """Size of a picture, in pixels; the last picture is the query."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    width: Side
    height: Side


class TextMessage(TypedDict):
    """A block of the prompt; the text of a picture block is empty."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    text: str


class PictureMessage(TypedDict):
    """A picture of the prompt: `image_id`, and the part that is shown, xyxy in pixels."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    photo: Photo
    crop: Coordinates | None


class ReferenceMessage(TypedDict):
    """A named reference."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    name: Name
    info: str
    present: bool


class ObjectMessage(TypedDict):
    """An object of the query; `box` is xyxy in pixels."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    name: str | None
    box: Coordinates
    label: str
    phrases: Entries[str]


class RowMessage(TypedDict, total=False):
    """The columns of the examples table that a score depends on; see docs/tables.md.

    A missing column has the value of `EMPTY`.
    """

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    objective: Required[ObjectiveName]
    kind: str
    answer: str
    box: Coordinates | None
    caption: str | None
    photo: Photo
    images: Entries[SizeMessage]
    pictures: Entries[PictureMessage]
    prompt: Entries[TextMessage]
    references: Entries[ReferenceMessage]
    scene: Entries[ObjectMessage]
    distinctive_words: Entries[str]
    distractor_words: Entries[str]
    telling: Entries[str]
    """Former name of `distinctive_words`; still read."""
    elsewhere: Entries[str]
    """Former name of `distractor_words`; still read."""


EMPTY: dict[str, Any] = {
    **dict.fromkeys(("kind", "answer", "photo"), ""),
    **dict.fromkeys(("box", "caption")),
    **dict.fromkeys(("images", "pictures", "prompt", "references", "scene"), ()),
}
"""Values of the columns that a request leaves out."""


ROW: TypeAdapter[RowMessage] = TypeAdapter(RowMessage)


class Completion(Message):
    """An answer and its row."""

    completion: str
    row: RowMessage


class ConventionMessage(Message):
    """How the model writes boxes. The last three fields describe the processor of Qwen2.5-VL.

    Its limits are required: with others than the trainer's, a right box would score 0.
    """

    name: Literal["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "normalised"] = "qwen3-vl"
    factor: Factor = 28
    min_pixels: Pixels | None = None
    max_pixels: Pixels | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        try:
            self.convention()
        except ConventionError as error:
            raise PydanticCustomError(SENTENCE, "{text}", {"text": str(error)}) from None
        return self

    @classmethod
    def of(cls, convention: Convention) -> ConventionMessage:
        """The message of a convention of `repic.images.coordinates`."""
        if isinstance(convention.grid, ResizedGrid):
            grid = convention.grid
            return cls(
                name=RESIZED,
                factor=grid.factor,
                min_pixels=grid.min_pixels,
                max_pixels=grid.max_pixels,
            )
        return cls.model_validate({"name": convention.name})

    def convention(self) -> Convention:
        """The convention that the message describes."""
        if self.name != RESIZED:  # older clients send limits with every name
            return CONVENTIONS[self.name]
        return named_convention(self.name, self.min_pixels, self.max_pixels, self.factor)


class ScoreRequest(Message):
    """Body of `/v1/score`."""

    schema_version: Literal[1] = SCHEMA
    mode: Mode = "strict"
    convention: ConventionMessage = ConventionMessage()
    strip: frozenset[Wrapper] = frozenset()
    rows: Annotated[Entries[Completion], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """Score of one answer; `reward` is None if it could not be scored, and `reason` says why."""

    __pydantic_config__: ClassVar[ConfigDict] = Message.model_config

    reward: float | None
    reason: str
    components: dict[str, float] = field(default_factory=dict)


class ScoreResponse(Message):
    """Scores in the order of the rows."""

    schema_version: Literal[1] = SCHEMA
    scores: list[ScoreMessage]


def row_message(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row that are sent, as JSON values."""
    distinctive, distractors = fact_words(row)
    pictures = _fields(row.get("images"), ("width", "height"))
    box = row.get("box")
    if pictures and box and objective_of(row["objective"]).answers_with_box:
        # A worker sees no photo: it gets the view, and the box in it.
        view = QueryView.of(row)
        pictures[-1] = {"width": view.width, "height": view.height}
        box = view.to_view(Box.of(box)).as_list()
    return {
        "objective": row["objective"],
        "kind": row.get("kind") or "",
        "answer": row.get("answer") or "",
        "box": box,
        "caption": row.get("caption"),
        "photo": images[-1].get("image_id") or "" if (images := row.get("images")) else "",
        "images": pictures,
        "pictures": _pictures(row.get("images") or ()),
        "prompt": _fields(row.get("prompt"), ("text",)),
        "references": _fields(row.get("references"), ("name", "info", "present")),
        "scene": _fields(row.get("scene"), ("name", "box", "label", "phrases")),
        "distinctive_words": list(distinctive),
        "distractor_words": list(distractors),
    }


def label_of(row: Mapping[str, Any]) -> str:
    """The columns of a row that a score depends on, as JSON text: the `label` of exported rows."""
    return json.dumps(row_message(row), ensure_ascii=False)


def _pictures(images: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ids and crops of the pictures; none if one has no id."""
    ids = [image.get("image_id") or "" for image in images]
    if not all(ids):
        return []
    return [
        {"photo": photo, "crop": list(crop) if (crop := image.get("crop")) else None}
        for photo, image in zip(ids, images, strict=True)
    ]


def _fields(entries: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: entry.get(name) for name in names} for entry in entries or ()]


def score_row(completion: str, row: RowMessage, mode: Mode, convention: Convention) -> ScoreMessage:
    """The score by the rules, without components, of an answer to a received row; never raises."""
    full_row = {**EMPTY, **row}
    try:
        if problem := _problem(full_row):
            return ScoreMessage(reward=None, reason=f"row: {problem}")
        reward = score(completion, full_row, mode, convention)
    except Exception as error:  # a bug in a rule affects one answer, and is counted
        return ScoreMessage(reward=None, reason=f"error: {type(error).__name__}")
    return score_of(reward)


def _problem(row: Mapping[str, Any]) -> str:
    """Why a row that matches the types cannot be scored; empty if it can."""
    if objective_of(row["objective"]).answers_with_box:
        if not row["images"]:
            return "images has no entry; its last one is the query"
        if row["box"] is None:
            return f"a row of {row['objective']} needs box"
    if any(not reference["name"].strip() for reference in row["references"]):
        return "a reference has no name"
    return excess(row)


def score_of(reward: Reward) -> ScoreMessage:
    """The message of a reward."""
    return ScoreMessage(reward.total, reward.reason, dict(reward.components))


def reward_of(message: ScoreMessage) -> Reward | None:
    """The reward that a message holds; None if it has none."""
    if message.reward is None:
        return None
    return Reward(message.reward, message.components, message.reason)
