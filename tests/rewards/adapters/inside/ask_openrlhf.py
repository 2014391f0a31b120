"""Runs beside OpenRLHF: its executor gets rewards from a file and from the URL of a worker.

Only the engine is a stub that generates given answers, as vLLM needs a GPU.
"""

import asyncio
import json
import sys
from types import SimpleNamespace

from openrlhf.utils.agent import SingleTurnAgentExecutor


class Letters:
    """A tokenizer whose tokens are code points."""

    def __call__(self, text, **_):
        import torch

        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    def decode(self, tokens, **_):
        return "".join(map(chr, tokens))


class Engine:
    """Generates one given answer."""

    def __init__(self, answer):
        self.answer = answer

    async def generate(self, tokens, params, **_):
        answer = SimpleNamespace(
            token_ids=[ord(letter) for letter in self.answer], finish_reason="stop", logprobs=None
        )
        return SimpleNamespace(outputs=[answer])


async def executed(endpoint, lines, answers):
    executor = SingleTurnAgentExecutor(endpoint)
    params = SimpleNamespace(max_tokens=4096, logprobs=None)
    results = []
    for line, text in zip(lines, answers, strict=True):
        prompt = line["messages"][0]["content"]
        results.append(
            await executor.execute(
                prompt, line["label"], params, 1 << 20, Letters(), Engine(f"{text}<|im_end|>")
            )
        )
    return results


def number(value):
    return float(value[0]) if value is not None else None


given = json.load(sys.stdin)
rewards = {}
for name in ("file", "url"):
    answers = asyncio.run(executed(given[name], given["lines"], given["answers"]))
    rewards[name] = [number(answer["reward"]) for answer in answers]
    rewards[f"{name} scored"] = [number(answer["extra_logs"].get("scored")) for answer in answers]
print(json.dumps(rewards))
