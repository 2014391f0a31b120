"""Runs inside the environment of verl: its dataset reads exported rows."""

import hashlib
import json
import sys

from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import RLHFDataset

given = json.load(sys.stdin)
config = OmegaConf.create({"filter_overlong_prompts": False, "cache_dir": given["work"]})
files = [f"{given['folder']}/{split}.parquet" for split in given["splits"]]
rows = RLHFDataset(files, tokenizer=None, config=config, processor=object())
prompts = [rows[k]["raw_prompt"][-1]["content"] for k in range(len(rows))]
pictures = [[b["image"] for b in blocks if b["type"] == "image"] for blocks in prompts]
print(
    json.dumps(
        {
            "rows": len(rows),
            "pictures": sum(map(len, pictures)),
            "picture": hashlib.sha256(pictures[0][-1].convert("RGB").tobytes()).hexdigest(),
            "text": "".join(b.get("text", "<image>") for b in prompts[0]),
            "label": rows[0]["reward_model"]["ground_truth"],
        }
    )
)
