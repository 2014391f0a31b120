"""WebDataset: tar files in which a row is `ID.json` and its pictures `ID.0.png`, `ID.1.jpg` ..."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.export.target import TargetFacts

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="readers of tar shards, such as webdataset",
    keeps="prompts, pictures, true answers, and `label`, from which a reward is computed",
    loses="columns that no reward reads; `datasets` wants one number of pictures in all rows",
    tested="webdataset reads every row and a picture of it (`make peers`)",
    use="python -c \"import webdataset; webdataset.WebDataset('F/train-000000.tar')\"",
    pictures=("embed",),
)
SHARD_BYTES = 500 << 20


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT-000000.tar`."""
    with ExitStack() as open_files:
        shards: dict[str, _Shards] = {}
        for chat in job.rows():
            split = chat.row["split"]
            if split not in shards:
                shards[split] = open_files.enter_context(_Shards(job.folder, split))
            record = {
                **{name: chat.row[name] for name in ("example_id", "objective", "kind")},
                "messages": chat.flat_messages,
                "answer": chat.answer,
                "label": chat.label,
            }
            pictures = {
                f"{number}.{picture.name.rpartition('.')[2]}": picture.data or b""
                for number, picture in enumerate(chat.pictures)
            }
            shards[split].add(chat.row["example_id"], record, pictures)
    return {}


class _Shards:
    """The tar files of a split."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._tar: tarfile.TarFile | None = None
        self._number = self._bytes = 0

    def add(self, key: str, record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> None:
        if self._tar is None or self._bytes >= SHARD_BYTES:
            self.close()
            path = self._folder / f"{self._split}-{self._number:06d}.tar"
            self._tar, self._bytes = tarfile.TarFile(path, "w"), 0
            self._number += 1
        text = json.dumps(record, ensure_ascii=False).encode()
        for name, data in {**pictures, "json": text}.items():
            member = tarfile.TarInfo(f"{key}.{name}")
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
            self._bytes += len(data)

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
