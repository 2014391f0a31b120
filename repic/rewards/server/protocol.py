"""What goes over the wire: typed, versioned, and without a place for a path, a URL or a module.

A row is sent without its pictures: of these a score needs only the size of the query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Required

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from typing_extensions import TypedDict

from repic.captions.facts import fact_words
from repic.images.coordinates import INTERNVL, NORMALISED, QWEN2_VL, QWEN3_VL, Convention, Resized
from repic.images.coordinates import qwen25_vl as _qwen25_vl
from repic.objectives.base import Mode, Reward
from repic.rewards.scoring import score

SCHEMA: Literal[1] = 1
"""Raised when a field changes its meaning."""
TOKEN = "REPIC_REWARD_TOKEN"
"""Environment variable of the secret that workers and trainers share."""

_FIXED = {c.name: c for c in (QWEN2_VL, QWEN3_VL, INTERNVL, NORMALISED)}
_LARGEST = 1_000_000
"""Pixels of a side."""


class Message(BaseModel):
    """Base of all messages: unknown fields and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


Side = Annotated[int, Field(ge=1, le=_LARGEST)]
Coordinates = Annotated[list[float], Field(min_length=4, max_length=4)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Photo = Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,64}$")]
"""`image_id` of the query, a hash; only a component that looks at the photo needs it."""


# What a row holds stays a dictionary: a score takes it so, and a model of each would be made twice.


class SizeMessage(TypedDict):
    """Of a picture, in pixels; the last one is the query."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    width: Side
    height: Side


class TextMessage(TypedDict):
    """A block of the prompt; empty where a picture stands."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    text: str


class ReferenceMessage(TypedDict):
    """A named reference."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    name: Name
    info: str
    present: bool


class ObjectMessage(TypedDict):
    """An object of the query, as the row knows it; `box` is xyxy in pixels."""

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    name: str | None
    box: Coordinates
    label: str
    phrases: list[str]


class RowMessage(TypedDict, total=False):
    """What of a row of the examples table a score depends on; see docs/tables.md.

    What is left out is as in `EMPTY`.
    """

    __pydantic_config__ = Message.model_config  # type: ignore[misc]
    objective: Required[Literal["oct", "vlt", "ict"]]
    kind: str
    answer: str
    box: Coordinates | None
    caption: str | None
    photo: Photo
    images: list[SizeMessage]
    prompt: list[TextMessage]
    references: list[ReferenceMessage]
    scene: list[ObjectMessage]
    distinctive_words: list[str]
    distractor_words: list[str]
    telling: list[str]
    """Former name of `distinctive_words`; still read."""
    elsewhere: list[str]
    """Former name of `distractor_words`; still read."""


EMPTY: dict[str, Any] = {
    **dict.fromkeys(("kind", "answer", "photo"), ""),
    **dict.fromkeys(("box", "caption")),
    **dict.fromkeys(("images", "prompt", "references", "scene"), ()),
}
"""A row of which nothing is known."""


ROW: TypeAdapter[RowMessage] = TypeAdapter(RowMessage)


class Completion(Message):
    """An answer, and the row that it answers."""

    completion: str
    row: RowMessage


class ConventionMessage(Message):
    """How the model writes boxes. The last three fields are Qwen2.5-VL's processor's."""

    name: Literal["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "normalised"] = "qwen3-vl"
    factor: Annotated[int, Field(ge=1, le=1024)] = 28
    min_pixels: Annotated[int, Field(ge=1, le=_LARGEST**2)] = 56 * 56
    max_pixels: Annotated[int, Field(ge=1, le=_LARGEST**2)] = 28 * 28 * 1280

    @classmethod
    def of(cls, convention: Convention) -> ConventionMessage:
        """A convention of `repic.images.coordinates` as it is sent."""
        if isinstance(convention.grid, Resized):
            grid = convention.grid
            return cls(
                name="qwen2.5-vl",
                factor=grid.factor,
                min_pixels=grid.min_pixels,
                max_pixels=grid.max_pixels,
            )
        return cls.model_validate({"name": convention.name})

    def convention(self) -> Convention:
        """What was meant."""
        if self.name in _FIXED:
            return _FIXED[self.name]
        return _qwen25_vl(_Processor(self))


class _Processor:
    """The part of an image processor that the convention asks."""

    def __init__(self, asked: ConventionMessage) -> None:
        self.patch_size, self.merge_size = asked.factor, 1
        self.size = {"shortest_edge": asked.min_pixels, "longest_edge": asked.max_pixels}


class ScoreRequest(Message):
    """Body of `/v1/score`."""

    schema_version: Literal[1] = SCHEMA
    mode: Mode = "strict"
    convention: ConventionMessage = ConventionMessage()
    rows: Annotated[list[Completion], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """What one answer earns; `reward` is None, with a reason, if it could not be scored."""

    __pydantic_config__: ClassVar[ConfigDict] = Message.model_config

    reward: float | None
    reason: str
    components: dict[str, float] = field(default_factory=dict)


class ScoreResponse(Message):
    """Scores in the order of the rows."""

    schema_version: Literal[1] = SCHEMA
    scores: list[ScoreMessage]


def row_message(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row goes over the wire, as JSON."""
    distinctive, distractors = fact_words(row)
    return {
        "objective": row["objective"],
        "kind": row.get("kind") or "",
        "answer": row.get("answer") or "",
        "box": row.get("box"),
        "caption": row.get("caption"),
        "photo": images[-1].get("image_id") or "" if (images := row.get("images")) else "",
        "images": _fields(row.get("images"), ("width", "height")),
        "prompt": _fields(row.get("prompt"), ("text",)),
        "references": _fields(row.get("references"), ("name", "info", "present")),
        "scene": _fields(row.get("scene"), ("name", "box", "label", "phrases")),
        "distinctive_words": list(distinctive),
        "distractor_words": list(distractors),
    }


def _fields(entries: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: entry.get(name) for name in names} for entry in entries or ()]


def score_row(completion: str, row: RowMessage, mode: Mode, convention: Convention) -> ScoreMessage:
    """The score of an answer to a row as it was received, by the rules alone; never raises."""
    whole = {**EMPTY, **row}
    if lack := _lack(whole):
        return ScoreMessage(reward=None, reason=f"row: {lack}")
    try:
        reward = score(completion, whole, mode, convention)
    except Exception as error:  # a fault of ours costs one answer, and is counted
        return ScoreMessage(reward=None, reason=f"error: {type(error).__name__}")
    return score_of(reward)


def _lack(row: Mapping[str, Any]) -> str:
    """What the types do not say: why the row cannot be scored."""
    if row["objective"] == "vlt" and not row["images"]:
        return "images has no entry; its last one is the query"
    if row["objective"] == "vlt" and row["box"] is None:
        return "a row of vlt needs box"
    if any(not reference["name"].strip() for reference in row["references"]):
        return "a reference has no name"
    return ""


def score_of(reward: Reward) -> ScoreMessage:
    """A reward as it is sent."""
    return ScoreMessage(reward.total, reward.reason, dict(reward.components))


def reward_of(answer: ScoreMessage) -> Reward | None:
    """A score as a trainer here takes it."""
    if answer.reward is None:
        return None
    return Reward(answer.reward, answer.components, answer.reason)
