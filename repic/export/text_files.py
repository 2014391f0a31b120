"""Files of JSON that are written row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
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


def write_lists(
    path: Path, lists: Mapping[str, Iterable[Any]], rest: Callable[[], Mapping[str, Any]] = dict
) -> None:
    """Write a JSON object whose lists are written entry by entry.

    Args:
        rest: Called when all lists are written; gives the other values.
    """
    with path.open("w", encoding="utf-8") as file:
        for opening, (name, entries) in zip("{" + "," * len(lists), lists.items(), strict=False):
            file.write(f"{opening}{json.dumps(name)}: [")
            for number, entry in enumerate(entries):
                file.write((",\n" if number else "\n") + json.dumps(entry, ensure_ascii=False))
            file.write("]\n")
        for name, value in rest().items():
            file.write(f",{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}\n")
        file.write("}\n")
