"""The rewards as a function of TRL, in the process of the trainer: no worker is needed.

    trl grpo --dataset_name F --reward_funcs repic.rewards.in_process.reward

`F` is the folder of `repic export DATASET F --to trl`; its columns `label` and `convention` say
what a right answer is, and how the model writes boxes. `REPIC_REWARD_MODE` is `strict` (default) or
`paper`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from repic.errors import ConfigError
from repic.images.coordinates import Convention
from repic.objectives.base import Mode
from repic.rewards.adapters.chat import text_of
from repic.rewards.server.protocol import ROW, ConventionMessage, score_row

_MODE: TypeAdapter[Mode] = TypeAdapter(Mode)


def reward(
    completions: Sequence[Any], label: Sequence[str], convention: Sequence[str], **_: Any
) -> list[float | None]:
    """Rewards of answers, 0 to 1; None for one that cannot be scored, which TRL leaves out.

    Args:
        completions: Texts, or conversations that end with the answer.
        label: The row of each answer, as the export has it.
        convention: How the model writes boxes, likewise.

    Raises:
        ConfigError: REPIC_REWARD_MODE is neither strict nor paper.
    """
    given = os.environ.get("REPIC_REWARD_MODE", "strict")
    try:
        mode = _MODE.validate_python(given)
    except ValueError:
        raise ConfigError(f"REPIC_REWARD_MODE is {given!r}: choose strict or paper") from None
    return [
        _reward(text_of(completion), row, written, mode)
        for completion, row, written in zip(completions, label, convention, strict=True)
    ]


def _reward(text: str, label: str, written: str, mode: Mode) -> float | None:
    try:
        row = ROW.validate_json(label)
    except ValueError:
        return None
    return score_row(text, row, mode, _convention(written)).reward


@lru_cache(64)
def _convention(text: str) -> Convention:
    return ConventionMessage.model_validate_json(text).convention()
