"""Parquet for the Hugging Face Hub and `datasets`: every column, and the pictures inside.

`images` has the pictures in prompt order, and `image_facts` what our column `images` says of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export import croissant
from repic.export.parquet_files import ParquetFiles
from repic.export.repic_json import without_uris
from repic.export.target import SPLITS, TargetFacts

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="`datasets.load_dataset`, the Hugging Face Hub, and `repic import --from hf`",
    keeps="every column with its type, the pictures, splits; Croissant metadata",
    loses="nothing of the rows; without `--uris` (so after `--push`) where the photos are",
    tested="`datasets` reads every row and pixel, mlcroissant its metadata (`make peers`); "
    "`repic import` gives the same content",
    use="python -c \"import datasets; print(datasets.load_dataset('F'))\"",
    pictures=("embed",),
)


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `data/SPLIT-00000.parquet` and `croissant.json`."""
    from repic.export.features import FACTS as IMAGE_FACTS
    from repic.export.features import features

    typed = features(job.source.examples.schema_arrow)
    with ParquetFiles(job.folder / "data", typed.arrow_schema) as files:
        for chat in job.rows():
            row = chat.row if job.options.uris else without_uris(chat.row)
            row = {**row, "images": chat.cells, IMAGE_FACTS: row["images"]}
            files.add(row["split"], row, chat.embedded_bytes)
    croissant.write(job, files.files)
    present = {path.name.partition("-")[0] for path in files.files}
    listed = [{"split": s, "path": f"data/{s}-*"} for s in SPLITS if s in present]
    return {"configs": [{"config_name": "default", "data_files": listed}]}
