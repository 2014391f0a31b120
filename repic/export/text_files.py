"""Files of JSON lines that are written row by row, one for each split."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO


class LineFiles:
    """Files `NAME.jsonl` in a folder, for each name that records are added under."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    @property
    def names(self) -> list[str]:
        """Names that records were added under."""
        return sorted(self._files)

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Add a line."""
        if name not in self._files:
            path = self._folder / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[name] = path.open("w", encoding="utf-8")
        self._files[name].write(json.dumps(record, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
