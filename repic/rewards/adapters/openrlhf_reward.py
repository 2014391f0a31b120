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


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_: Any
) -> dict[str, Any]:
    """`rewards` and `scores` of queries, which are prompts with their answers: float (n,)."""
    import torch

    answers = [answer_of(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    # Where a query does not begin with its prompt, the answer in it is not known.
    known = [answer for answer in answers if answer is not None]
    rows = [row for answer, row in zip(answers, labels, strict=True) if answer is not None]
    given = iter(request_rewards(known, rows))
    rewards = [None if answer is None else next(given) for answer in answers]
    filled = torch.tensor(fill_unscored(rewards, labels))
    scored = torch.tensor([float(reward is not None) for reward in rewards])
    return {"rewards": filled, "scores": filled, "extra_logs": {"scored": scored}}
