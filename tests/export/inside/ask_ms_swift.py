"""Runs inside the environment of ms-swift: loads exported rows as its two commands do."""

import hashlib
import json
import os
import sys

given = json.load(sys.stdin)
os.environ["ROOT_IMAGE_DIR"] = given["folder"]
from swift.dataset import load_dataset  # noqa: E402
from swift.template.vision_utils import load_image  # noqa: E402

found = {}
for way in ("grpo", "sft"):
    files = [f"{given['folder']}/{way}/{split}.jsonl" for split in given["splits"]]
    rows, _ = load_dataset(files, num_proc=1, strict=True, split_dataset_ratio=0.0)
    shown = load_image(rows[0]["images"][-1]["path"])
    found[way] = {
        "rows": len(rows),
        "pictures": sum(len(row["images"]) for row in rows),
        "picture": hashlib.sha256(shown.tobytes()).hexdigest(),
        "text": rows[0]["messages"][0]["content"],
        "last": rows[0]["messages"][-1]["role"],
    }
print(json.dumps(found))
