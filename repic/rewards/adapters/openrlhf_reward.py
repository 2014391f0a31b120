"""OpenRLHF: `--reward.remote_url .../openrlhf_reward.py`, or the URL of a worker itself.

`--reward.remote_url http://any:TOKEN@HOST:8899/get_reward` needs no file. The label of a prompt
(`--data.label_key label`) is the one that `repic export` writes. OpenRLHF reads None as "query
a reward model", so an answer that could not be scored gets the mean of its group and 0 as `scored`.
It sends one answer at a time; its group is then unknown, and the reward is 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.chat import answer_of
from repic.rewards.adapters.query import fill_unscored, request_rewards
from repic.rewards.wrappers import without_end


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_: Any
) -> dict[str, Any]:
    """`rewards` and `scores` of queries, which are prompts with their answers: float (n,)."""
    import torch

    pairs = zip(queries, prompts, strict=True)
    answers = [
        without_end(query) if (answer := answer_of(query, prompt)) is None else answer
        for query, prompt in pairs
    ]
    rewards = request_rewards(answers, labels)
    filled = torch.tensor(fill_unscored(rewards, labels))
    scored = torch.tensor([float(reward is not None) for reward in rewards])
    return {"rewards": filled, "scores": filled, "extra_logs": {"scored": scored}}
