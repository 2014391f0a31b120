"""Runs beside OpenRLHF: its dataset of prompts reads exported rows."""

import hashlib
import json
import os
import sys
from types import SimpleNamespace

from openrlhf.datasets import PromptDataset
from openrlhf.datasets.utils import blending_datasets
from openrlhf.utils.vlm_utils import load_images

given = json.load(sys.stdin)
os.chdir(given["folder"])


class Template:
    """A tokenizer that knows a chat template."""

    def apply_chat_template(self, chat, **_):
        blocks = chat[0]["content"]
        return "".join(b.get("text", "<image>") for b in blocks)


strategy = SimpleNamespace(
    args=SimpleNamespace(
        data=SimpleNamespace(
            input_key="messages", label_key="label", apply_chat_template=True, image_key="images"
        )
    ),
    is_rank_0=lambda: False,
    print=lambda *_: None,
)
rows = []
for split in given["splits"]:
    blended = blending_datasets(f"{split}.jsonl", None, strategy, 0, dataset_split="train")
    rows += PromptDataset(blended, Template(), strategy)
pictures = [load_images(row[3]) for row in rows]
print(
    json.dumps(
        {
            "rows": len(rows),
            "pictures": sum(map(len, pictures)),
            "picture": hashlib.sha256(pictures[0][-1].convert("RGB").tobytes()).hexdigest(),
            "text": rows[0][1],
            "label": rows[0][2],
        }
    )
)
