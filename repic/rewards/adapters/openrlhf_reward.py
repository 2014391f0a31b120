"""OpenRLHF: `--reward.remote_url .../openrlhf_reward.py`, or the URL of a worker itself.

`--reward.remote_url http://any:TOKEN@HOST:8899/get_reward` needs no file. The label of a prompt
(`--data.label_key label`) is the one that `repic reward rows` writes. OpenRLHF reads None as "query
a reward model", so an answer that could not be scored gets the mean of its group and 0 as `scored`.
It sends one answer at a time; its group is then unknown, and the reward is 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.query import fill_unscored, request_rewards

_PICTURE = re.compile(r"(?:<\|image_pad\|>)+")
_END = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|</s>))+\s*\Z")


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_: Any
) -> dict[str, Any]:
    """`rewards` and `scores` of queries, which are prompts with their answers: float (n,)."""
    import torch

    answers = [_answer(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    rewards = request_rewards(answers, labels)
    filled = torch.tensor(fill_unscored(rewards, labels))
    scored = torch.tensor([float(reward is not None) for reward in rewards])
    return {"rewards": filled, "scores": filled, "extra_logs": {"scored": scored}}


def _answer(query: str, prompt: str) -> str:
    """The text after the prompt; image tokens may be expanded in one of the two."""
    text, prefix = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    return _END.sub("", text.removeprefix(prefix))
