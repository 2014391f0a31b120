"""OpenRLHF's protocol for a remote reward function: `{"query", "prompts", "labels"}`.

OpenRLHF sends one row at a time and turns the reply into tensors, so every answer needs a number:
one that cannot be scored gets `NEUTRAL`, and 0 as `scored` in the logs. A label is the row, as the
JSON that `repic export` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from repic.objectives.base import Mode
from repic.rewards.adapters.chat import answer_of
from repic.rewards.server.protocol import (
    ROW,
    Completion,
    ConventionMessage,
    Entries,
    Message,
    ScoreMessage,
)
from repic.rewards.wrappers import Wrapper

NEUTRAL = 0.5
"""Reward of an answer that could not be scored; the protocol has no None, and 0 would punish it."""


def _names(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) and value else value


class OpenRlhfOptions(ConventionMessage):
    """Query parameters of the URL: what the rows do not contain."""

    mode: Mode = "strict"
    strip: Annotated[frozenset[Wrapper], BeforeValidator(_names)] = frozenset()
    """Names of wrappers, separated by commas."""


class OpenRlhfRequest(Message):
    """Body of `/get_reward`. `query` is a prompt with its answer, as the model saw it."""

    query: Annotated[Entries[str], Field(min_length=1)]
    prompts: Annotated[Entries[str], Field(min_length=1)]
    labels: Annotated[Entries[str], Field(min_length=1)]


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
            answer = answer_of(query, body.prompts[index])
            row = ROW.validate_json(body.labels[index])
        except (IndexError, ValueError):
            answer = None
        if answer is None:
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
