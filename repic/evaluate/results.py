"""A published evaluation, read again: its numbers with intervals, and models side by side.

found = load(store, "evaluation@latest")
found.score("f1", "mixed")                       # Score(value, low, high, n, unit)
compare(load(store, "evaluation@v1"), found)     # differences, paired by question
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from repic.errors import CaptionError
from repic.evaluate import strict
from repic.evaluate.intervals import Difference, gather
from repic.evaluate.intervals import compare as compare_sums
from repic.evaluate.metrics import Score
from repic.evaluate.score import ALL, counts
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.store import Store

NAME = "evaluation"
SUMMARY = "evaluation.json"
TABLES_OF = ("captions", "scores", "metrics")

Numbers = Mapping[tuple[str, str], Mapping[str, Score]]
"""(protocol, part) -> score -> value with interval."""


@dataclass(frozen=True)
class Evaluated:
    """One version of an evaluation.

    Attributes:
        manifest: Of the version; its inputs are the tables.
        is_new: False where the same evaluation was there already.
    """

    store: Store
    manifest: Manifest
    is_new: bool = False

    @property
    def ref(self) -> str:
        return str(self.manifest.ref)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Model, suite, threshold and retrieval curve."""
        file = next(file for file in self.manifest.files if file.name == SUMMARY)
        found: dict[str, Any] = json.loads(self.store.files.read(file.path))
        return found

    @property
    def model(self) -> str:
        return str(self.summary["model"])

    @property
    def suite(self) -> str:
        return str(self.summary["suite"])

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """In the order in which they were asked."""
        return tuple(self.summary["protocols"])

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Parts of the suite, without `all`."""
        return tuple(sorted({row["part"] for row in self.rows("metrics")} - {ALL}))

    def table(self, name: str) -> str:
        """The exact version of one of the tables: captions, scores, metrics."""
        return next(str(bound.ref) for bound in self.manifest.inputs if bound.name == name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of one of the tables."""
        return self.store.read(self.table(name)).to_pylist()

    def numbers(self, metric: str = "strict") -> Numbers:
        """Scores by protocol and part; see `repic.evaluate.strict.COLUMNS`."""
        found: dict[tuple[str, str], dict[str, Score]] = {}
        for row in self.rows("metrics"):
            if row["metric"] == metric:
                score = Score(row["value"], row["low"], row["high"], row["n"], row["unit"])
                found.setdefault((row["protocol"], row["part"]), {})[row["score"]] = score
        return found

    def score(
        self, name: str, protocol: str, part: str | None = None, metric: str = "strict"
    ) -> Score:
        """One number.

        Args:
            part: By default all parts together.

        Raises:
            CaptionError: it was not measured.
        """
        numbers = self.numbers(metric)
        parts = [part] if part else [ALL, *self.parts]
        for one in parts:
            if found := numbers.get((protocol, one), {}).get(name):
                return found
        raise CaptionError(f"{self.ref} has no {metric} {name} of {protocol} {part or ''}".rstrip())


def load(store: Store, ref: str) -> Evaluated:
    """A published evaluation.

    Raises:
        StoreError: there is no such version, or it is of something else.
    """
    manifest = store.manifest(ref)
    if manifest.name != NAME:
        raise StoreError(f"{manifest.ref} is no evaluation: give evaluation@v..., see `repic ls`")
    return Evaluated(store, manifest)


def compare(
    first: Evaluated, second: Evaluated, protocol: str | None = None, part: str | None = None
) -> dict[str, Difference]:
    """Second minus first on the questions that both were asked, photos swapped or drawn in pairs.

    Args:
        protocol, part: Only these questions; by default all of them.

    Raises:
        CaptionError: they share no question.
    """
    wanted = [
        {
            row["question_id"]: row
            for row in one.rows("scores")
            if protocol in (None, row["protocol"]) and part in (None, ALL, row["part"])
        }
        for one in (first, second)
    ]
    common = sorted(wanted[0].keys() & wanted[1].keys())
    if not common:
        raise CaptionError(
            f"{first.ref} and {second.ref} share no question: evaluate both on the same suite, "
            "with the same seed, layout and retrieval"
        )
    width = len(strict.COLUMNS)
    sums = [gather((counts(rows[key]) for key in common), width) for rows in wanted]
    return dict(zip(strict.COLUMNS, compare_sums(sums[0], sums[1]), strict=True))
