"""verl: Parquet of prompts with `<image>`, pictures inside, and the label as ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.chat import says_placeholder
from repic.export.parquet_files import ParquetFiles
from repic.export.target import TargetFacts

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="verl's GRPO and PPO (`RLHFDataset`)",
    keeps="prompts, pictures, and `reward_model.ground_truth`, from which a worker scores",
    loses="columns that no reward reads; true answers other than in the ground truth",
    tested="verl's RLHFDataset loads every row and a picture of it (`make peers`)",
    use="python -m verl.trainer.main_ppo data.train_files=F/train.parquet data.image_key=images",
    pictures=("embed",),
    scored=True,
)


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT.parquet`, with one row group for each 64 MB."""
    index = 0
    with ParquetFiles(job.folder, features().arrow_schema, file_bytes=None) as files:
        for chat in job.rows(says_placeholder):
            row = {
                "data_source": f"repic/{chat.row['objective']}",
                "prompt": chat.flat_messages,
                "images": chat.cells,
                "ability": chat.row["objective"],
                "reward_model": {"style": "rule", "ground_truth": chat.label},
                "extra_info": {
                    "index": index,
                    **{name: chat.row[name] for name in ("split", "example_id", "kind")},
                },
            }
            files.add(chat.row["split"], row, chat.embedded_bytes)
            index += 1
    return {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": f.stem, "path": f.name} for f in sorted(files.files)],
            }
        ]
    }


def features() -> Any:
    """Types of the columns, as `datasets.Features`."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    return Features(
        {
            "data_source": text,
            "prompt": List({"role": text, "content": text}),
            "images": List(Image()),
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "extra_info": {
                "index": Value("int64"),
                "split": text,
                "example_id": text,
                "kind": text,
            },
        }
    )
