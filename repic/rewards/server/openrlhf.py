"""OpenRLHF's protocol for a remote reward function: `{"query", "prompts", "labels"}`.

OpenRLHF sends one row at a time and takes the answer as tensors, so every answer has a number:
one that cannot be scored gets `NEUTRAL`, and `scored` in the logs says so. A label is the row
itself, as the JSON that `repic reward rows` writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from repic.objectives.base import Mode
from repic.rewards.server.protocol import ROW, Completion, ConventionMessage, Message, ScoreMessage

NEUTRAL = 0.5
"""Reward of an answer that could not be scored: there is no None, and 0 would be a verdict."""

_PICTURE = re.compile(r"(?:<\|(?:image_pad|video_pad)\|>)+")
_END = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|</s>))+\s*\Z")


class OpenRlhfOptions(Message):
    """Query parameters of the URL: what the rows do not say."""

    mode: Mode = "strict"
    name: Literal["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "normalised"] = "qwen3-vl"
    factor: Annotated[int, Field(ge=1, le=1024)] = 28
    min_pixels: Annotated[int, Field(ge=1)] = 56 * 56
    max_pixels: Annotated[int, Field(ge=1)] = 28 * 28 * 1280

    def convention(self) -> ConventionMessage:
        """How the model writes boxes."""
        return ConventionMessage.model_validate(self.model_dump(exclude={"mode"}))


class OpenRlhfRequest(Message):
    """Body of `/get_reward`. `query` is a prompt with its answer, as the model saw it."""

    query: Annotated[list[str], Field(min_length=1)]
    prompts: Annotated[list[str], Field(min_length=1)]
    labels: Annotated[list[str], Field(min_length=1)]


class OpenRlhfLogs(Message):
    """1 where there is a score, 0 where the reward is neutral."""

    scored: list[float]


class OpenRlhfResponse(Message):
    """What OpenRLHF reads; `scores` are used for its dynamic filtering."""

    rewards: list[float]
    scores: list[float]
    extra_logs: OpenRlhfLogs


def completions(asked: OpenRlhfRequest) -> list[Completion | None]:
    """Answers with their rows, in order; None where a query, prompt or label is none."""
    found: list[Completion | None] = []
    for place, query in enumerate(asked.query):
        try:
            answer = answer_of(query, asked.prompts[place])
            row = ROW.validate_json(asked.labels[place])
        except (IndexError, ValueError, ValidationError):
            found.append(None)
        else:
            found.append(Completion.model_construct(completion=answer, row=row))
    return found


def rewards(scores: Sequence[ScoreMessage | None]) -> OpenRlhfResponse:
    """Scores as OpenRLHF reads them; what has none is neutral."""
    totals = [NEUTRAL if s is None or s.reward is None else s.reward for s in scores]
    is_scored = [float(s is not None and s.reward is not None) for s in scores]
    return OpenRlhfResponse(
        rewards=totals, scores=totals, extra_logs=OpenRlhfLogs(scored=is_scored)
    )


def answer_of(query: str, prompt: str) -> str:
    """What stands behind the prompt; image tokens may be expanded in one of the two.

    Raises:
        ValueError: the query does not begin with the prompt.
    """
    said, asked = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    if not said.startswith(asked):
        raise ValueError("the query does not begin with its prompt")
    return _END.sub("", said[len(asked) :])
