"""Runs inside the environment of LLaMA-Factory: loads exported rows as its SFT does."""

import hashlib
import json
import sys

from llamafactory.data.loader import _load_single_dataset
from llamafactory.data.parser import get_dataset_list
from llamafactory.hparams import DataArguments, ModelArguments
from PIL import Image
from transformers import Seq2SeqTrainingArguments

given = json.load(sys.stdin)
names = [f"repic_{split}" for split in given["splits"]]
data = DataArguments(
    dataset_dir=given["folder"], media_dir=given["folder"], dataset=",".join(names)
)
training = Seq2SeqTrainingArguments(output_dir=given["work"])
rows = [
    row
    for attr in get_dataset_list(names, given["folder"])
    for row in _load_single_dataset(attr, ModelArguments(model_name_or_path="x"), data, training)
]
shown = Image.open(rows[0]["_images"][-1]).convert("RGB")
print(
    json.dumps(
        {
            "rows": len(rows),
            "pictures": sum(len(row["_images"]) for row in rows),
            "picture": hashlib.sha256(shown.tobytes()).hexdigest(),
            "text": rows[0]["_prompt"][0]["content"],
            "answer": rows[0]["_response"][0]["content"],
        }
    )
)
