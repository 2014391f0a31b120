"""OpenRLHF's protocol for a remote reward function: `{"query", "prompts", "labels"}`.

OpenRLHF sends one row at a time and turns the reply into tensors, so every answer needs a number:
one that cannot be scored gets `NEUTRAL`, and 0 as `scored` in the logs. A label is the row, as the
JSON that `repic reward rows` writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from repic.objectives.base import Mode
from repic.rewards.server.protocol import ROW, Completion, ConventionMessage, Message, ScoreMessage

NEUTRAL = 0.5
"""Reward of an answer that could not be scored; the protocol has no None, and 0 would punish it."""

_PICTURE = re.compile(r"(?:<\|(?:image_pad|video_pad)\|>)+")
_END = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|</s>))+\s*\Z")


class OpenRlhfOptions(Message):
    """Query parameters of the URL: what the rows do not contain."""

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
    """1 for an answer that was scored, 0 for a neutral reward."""

    scored: list[float]


class OpenRlhfResponse(Message):
    """Reply of `/get_reward`; OpenRLHF uses `scores` for its dynamic filtering."""

    rewards: list[float]
    scores: list[float]
    extra_logs: OpenRlhfLogs


def completions(body: OpenRlhfRequest) -> list[Completion | None]:
    """Answers with their rows, in order; None where a query, prompt or label is invalid."""
    completions: list[Completion | None] = []
    for index, query in enumerate(body.query):
        try:
            answer = _answer(query, body.prompts[index])
            row = ROW.validate_json(body.labels[index])
        except (IndexError, ValueError, ValidationError):
            completions.append(None)
        else:
            completions.append(Completion.model_construct(completion=answer, row=row))
    return completions


def rewards(scores: Sequence[ScoreMessage | None]) -> OpenRlhfResponse:
    """Scores as OpenRLHF reads them; an answer without a score is neutral."""
    totals = [NEUTRAL if s is None or s.reward is None else s.reward for s in scores]
    is_scored = [float(s is not None and s.reward is not None) for s in scores]
    return OpenRlhfResponse(
        rewards=totals, scores=totals, extra_logs=OpenRlhfLogs(scored=is_scored)
    )


def _answer(query: str, prompt: str) -> str:
    """The text after the prompt; image tokens may be expanded in one of the two.

    Raises:
        ValueError: the query does not begin with the prompt.
    """
    text, prefix = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    if not text.startswith(prefix):
        raise ValueError("the query does not begin with its prompt")
    return _END.sub("", text[len(prefix) :])
