"""TRL: what `trl grpo --dataset_name F` and `trl sft --dataset_name F --dataset_config sft` read.

The files of both are the same. GRPO must not see the column `completion`, in whose place it would
look for the prompt, so the default config reads the columns without it; the config `sft` reads
prompt, completion and images of the rows whose true answer is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.card import convention_json
from repic.export.chat import ChatRow
from repic.export.parquet_files import ParquetFiles
from repic.export.target import SPLITS, TargetFacts

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="TRL's trainers, from the command line or `load_dataset`",
    keeps="prompts as blocks, pictures, true answers, and `label`, from which the reward comes",
    loses="columns that no reward reads (pairs, bands, seeds); in `sft`, rows without an answer",
    tested="one CPU step each of `trl grpo` and `trl sft` with a tiny model; every row and pixel",
    use="trl grpo --dataset_name F --reward_funcs repic.rewards.in_process.reward",
    pictures=("embed",),
)
ANSWERED, OPEN = "answered", "open"
"""Names of the files whose rows have a true answer, and of the others."""
READ_BY_GRPO = ("example_id", "objective", "kind", "prompt", "images", "label", "convention")
READ_BY_SFT = ("prompt", "completion", "images")


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `data/SPLIT-answered-00000.parquet` and `data/SPLIT-open-00000.parquet`."""
    convention = json.dumps(convention_json(job))
    with ParquetFiles(job.folder / "data", features().arrow_schema) as files:
        for chat in job.rows():
            part = OPEN if chat.answer is None else ANSWERED
            name = f"{chat.row['split']}-{part}"
            files.add(name, _row(chat, convention), chat.embedded_bytes)
    names = [path.name for path in files.files]
    return {"configs": [*_configs(names)]}


def features() -> Any:
    """Types of the columns, as `datasets.Features`."""
    from datasets import Features, Image, List, Value

    block = {"type": Value("string"), "text": Value("string")}
    turns = List({"role": Value("string"), "content": List(block)})
    texts = {name: Value("string") for name in ("example_id", "objective", "kind")}
    return Features(
        {
            **texts,
            "prompt": turns,
            "completion": turns,
            "images": List(Image()),
            "label": Value("string"),
            "convention": Value("string"),
        }
    )


def _row(chat: ChatRow, convention: str) -> dict[str, Any]:
    answer = [] if chat.answer is None else [{"type": "text", "text": chat.answer}]
    return {
        **{name: chat.row[name] for name in ("example_id", "objective", "kind")},
        "prompt": chat.messages,
        "completion": [{"role": "assistant", "content": answer}] if answer else [],
        "images": chat.cells,
        "label": chat.label,
        "convention": convention,
    }


def _configs(names: list[str]) -> list[dict[str, Any]]:
    configs = []
    for config, part, columns in (
        ("default", "", READ_BY_GRPO),
        ("sft", f"{ANSWERED}-", READ_BY_SFT),
    ):
        files = [
            {"split": split, "path": f"data/{split}-{part}*"}
            for split in SPLITS
            if any(name.startswith(f"{split}-{part}") for name in names)
        ]
        if files:
            configs.append({"config_name": config, "data_files": files, "columns": [*columns]})
    return configs
