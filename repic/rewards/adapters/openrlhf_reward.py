"""OpenRLHF: `--reward.remote_url .../openrlhf_reward.py`, or the URL of a worker itself.

`--reward.remote_url http://any:TOKEN@HOST:8899/get_reward` needs no file at all. The label of a
prompt (`--data.label_key label`) is what `repic reward rows` writes. OpenRLHF takes None for "ask a
reward model", so an answer that could not be scored gets the mean of its group; `scored` is 0
there. It asks for one answer at a time, of which the group is unknown: 0.5 then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.query import ask, neutral

_PICTURE = re.compile(r"(?:<\|image_pad\|>)+")
_END = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|</s>))+\s*\Z")


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_: Any
) -> dict[str, Any]:
    """`rewards` and `scores` of prompts with their answers, float (n,)."""
    import torch

    answers = [_answer(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    found = ask(answers, labels)
    rewards = torch.tensor(neutral(found, labels))
    scored = torch.tensor([float(reward is not None) for reward in found])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"scored": scored}}


def _answer(query: str, prompt: str) -> str:
    """What stands behind the prompt; the tokens of a picture may be expanded in one of the two."""
    said, asked = _PICTURE.sub("<image>", query), _PICTURE.sub("<image>", prompt)
    return _END.sub("", said.removeprefix(asked))
