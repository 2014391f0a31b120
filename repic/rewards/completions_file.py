"""A file of completions, one JSON object per line, and their rewards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from repic.errors import RowError
from repic.objectives.base import Reward, Row
from repic.rewards.scoring import check_row

MAX_LINE = 64 * 1024 * 1024
"""Longest valid line, in bytes."""


def lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the non-empty lines; the value of an invalid line is its error."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE)
                yield number, ValueError(f"longer than {MAX_LINE >> 20} MiB")
            elif line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield number, ValueError(f"not JSON: {error}")


def needs_a_store(path: Path) -> bool:
    """Whether a line names an example, whose columns are in a store."""
    return any(isinstance(line, dict) and "objective" not in line for _, line in lines(path))


def scored(
    path: Path, examples: Mapping[str, Row], score: Callable[[str, Row], Reward]
) -> Iterator[dict[str, Any]]:
    """For each line its number and its reward, or why it has none (`error`).

    Args:
        examples: Rows by example_id, for lines that name one.
    """
    for number, line in lines(path):
        try:
            row, text = _row_of(line, examples)
            result = score(text, row)
        except (RowError, ValueError) as error:
            yield {"line": number, "error": str(error)}
            continue
        yield {"line": number, "example_id": row.get("example_id"), **result.as_json()}


def _row_of(line: Any, examples: Mapping[str, Row]) -> tuple[Row, str]:
    if isinstance(line, ValueError):
        raise line
    if not isinstance(line, dict):
        raise RowError("not a JSON object")
    if not isinstance(line.get("completion"), str):
        raise RowError("completion is missing or not a string")
    if "objective" in line:
        check_row(line)
        return line, line["completion"]
    example = line.get("example_id")
    if not isinstance(example, str) or example not in examples:
        raise RowError(f"there is no example {example!r} in the store; give the row's columns")
    return examples[example], line["completion"]
