"""Runs beside OpenRLHF: its executor asks for rewards, of a file and of a worker's URL.

Only the engine is not its own, as vLLM needs a GPU: it says what it was told to say.
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

    def __init__(self, said):
        self.said = said

    async def generate(self, tokens, params, **_):
        answer = SimpleNamespace(
            token_ids=[ord(letter) for letter in self.said], finish_reason="stop", logprobs=None
        )
        return SimpleNamespace(outputs=[answer])


async def asked(endpoint, lines, answers):
    executor = SingleTurnAgentExecutor(endpoint)
    params = SimpleNamespace(max_tokens=4096, logprobs=None)
    found = []
    for line, said in zip(lines, answers, strict=True):
        prompt = line["messages"][0]["content"]
        found.append(
            await executor.execute(
                prompt, line["label"], params, 1 << 20, Letters(), Engine(f"{said}<|im_end|>")
            )
        )
    return found


def number(value):
    return float(value[0]) if value is not None else None


given = json.load(sys.stdin)
told = {}
for name in ("file", "url"):
    answers = asyncio.run(asked(given[name], given["lines"], given["answers"]))
    told[name] = [number(answer["reward"]) for answer in answers]
    told[f"{name} scored"] = [number(answer["extra_logs"].get("scored")) for answer in answers]
print(json.dumps(told))
