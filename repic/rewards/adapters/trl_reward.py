"""TRL: `trl grpo --reward_funcs repic.rewards.adapters.trl_reward.reward`, or in a script.

The dataset is that of `repic export DATASET F --to trl`, with its column `label`. An answer that
could not be scored is None, which TRL leaves out of its group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.chat import text_of
from repic.rewards.adapters.query import request_rewards


def reward(completions: Sequence[Any], label: Sequence[str], **_: Any) -> list[float | None]:
    """Rewards of the answers to the rows of `label`."""
    return request_rewards([text_of(completion) for completion in completions], label)


async def reward_async(
    completions: Sequence[Any], label: Sequence[str], **_: Any
) -> list[float | None]:
    """`reward` without blocking; TRL awaits several reward functions together."""
    return await asyncio.to_thread(reward, completions, label)
