"""Run an export: into a new folder, with a card and a record, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.errors import TargetError
from repic.export import card
from repic.export.folders import new_folder
from repic.export.job import ExportJob, ExportSource, ExportTarget
from repic.export.target import ExportOptions

if TYPE_CHECKING:
    from storage.store import Store

DEFAULTS = ExportOptions()
RECORD = "export.json"
"""What an export was made from; `repic import` and a push read it."""


@dataclass(frozen=True)
class ExportResult:
    """A finished export.

    Attributes:
        facts: As `export.json` has them.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def written(self) -> int:
        """The number of rows, or of photos."""
        return sum(number for row in self.facts["rows"].values() for number in row.values())


def export(
    store: Store,
    ref: str,
    target: ExportTarget,
    folder: Path,
    options: ExportOptions = DEFAULTS,
    *,
    overwrite: bool = False,
    begin: Callable[[int], None] = lambda total: None,
    advance: Callable[[int], None] = lambda done: None,
) -> ExportResult:
    """Write a version for another program.

    Args:
        ref: `dataset@latest`, `examples@v3`.
        overwrite: Replace a folder that is not empty.
        begin: Called with the number of rows before the first.
        advance: Called with 1 after each row.

    Raises:
        TargetError: the version or the options do not fit the target, the folder is in use, or no
            row is left.
        storage.errors.StoreError: there is no such version, or it cannot be read.
    """
    source = ExportSource.of(store, ref)
    with new_folder(folder, overwrite) as temporary:
        job = ExportJob(source, target, temporary, options, advance)
        begin(job.total())
        head = target.write(job)
        facts = card.record(job, card.subjects(job))
        result = ExportResult(folder, facts)
        if not result.written:
            raise TargetError(f"{ref} has no row for {target.name}{_why(facts)}")
        (temporary / "README.md").write_text(card.card(job, facts, head), encoding="utf-8")
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        (temporary / RECORD).write_text(text + "\n", encoding="utf-8")
    return result


def _why(facts: dict[str, Any]) -> str:
    reasons = [f"{number} rows: {reason}" for reason, number in facts["left_out"].items()]
    return f" ({'; '.join(reasons)})" if reasons else ": choose other splits or objectives"
