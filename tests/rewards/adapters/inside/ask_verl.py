"""Runs inside the environment of verl: rewards of its reward loop and of its batch manager."""

import asyncio
import json
import sys

import numpy as np
import torch
from omegaconf import OmegaConf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.trainer.ppo.reward import get_custom_reward_fn, load_reward_manager
from verl.workers.reward_manager.batch import BatchRewardManager


def tokenizer_of_bytes():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: k for k, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def config_of(path, name):
    return OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": {"path": path, "name": name, "reward_kwargs": {}},
                "reward_manager": {"source": "register", "name": "naive", "module": None},
                "sandbox_fusion": None,
            }
        }
    )


given = json.load(sys.stdin)
tokenizer = tokenizer_of_bytes()
coded = [tokenizer.encode(answer) or [0] for answer in given["answers"]]
width = max(map(len, coded))
responses = torch.zeros((len(coded), width), dtype=torch.long)
mask = torch.zeros((len(coded), 1 + width), dtype=torch.long)
mask[:, 0] = 1
for k, tokens in enumerate(coded):
    responses[k, : len(tokens)] = torch.tensor(tokens)
    mask[k, 1 : 1 + len(tokens)] = 1
prompts = torch.zeros((len(coded), 1), dtype=torch.long)
tensors = {"prompts": prompts, "responses": responses, "attention_mask": mask}
columns = {
    "data_source": np.array([line["data_source"] for line in given["lines"]], dtype=object),
    "reward_model": np.array([line["reward_model"] for line in given["lines"]], dtype=object),
    "extra_info": np.array([{} for _ in given["lines"]], dtype=object),
}
data = DataProto.from_dict(tensors=tensors, non_tensors=columns)


async def by_the_loop():
    manager = load_reward_manager(config_of(given["adapter"], "compute_score"), tokenizer)
    return await asyncio.gather(*(manager.run_single(data[k : k + 1]) for k in range(len(data))))


def by_the_batch():
    score = get_custom_reward_fn(config_of(given["adapter"], "compute_scores"))
    result = BatchRewardManager(tokenizer, 0, score)(data, return_dict=True)
    return result["reward_tensor"].sum(dim=1).tolist(), result["reward_extra_info"]["scored"]


single = asyncio.run(by_the_loop())
batch, scored = by_the_batch()
print(
    json.dumps(
        {
            "single": [result["reward_score"] for result in single],
            "single scored": [result["reward_extra_info"]["scored"] for result in single],
            "batch": batch,
            "batch scored": scored,
        }
    )
)
