"""Rows of which only names are known: naming everybody earns what naming nobody earns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from repic.config import ExampleSettings, IctSettings
from repic.objectives import balance
from repic.objectives.base import ObjectiveSummary
from tests.objectives.tables import Build, image_row, labelled_build, object_row, pair_row


def rows_of(build: Build, **changes: Any) -> tuple[list[dict[str, Any]], ObjectiveSummary]:
    return build.examples("ict", ExampleSettings(ict=IctSettings(**changes)))


def earned(rows: list[dict[str, Any]]) -> dict[int, tuple[float, float]]:
    """Sum of the set-F1 of naming everybody and nobody, by the number of names."""
    sums: dict[int, tuple[float, float]] = {}
    for row in rows:
        present = sum(reference["present"] for reference in row["references"])
        names = len(row["references"])
        everybody, nobody = sums.get(names, (0.0, 0.0))
        f1 = balance.set_f1_of_all(present, names)
        sums[names] = everybody + f1, nobody + (not present)
    return sums


@pytest.mark.parametrize("kinds", [{"single": 1.0}, {"multi": 1.0}, {"mixed": 1.0}, None])
def test_naming_everybody_earns_as_much_as_naming_nobody(kinds: Any) -> None:
    shares = {"shares": {**kinds, "absent": 0.1}} if kinds else {}
    rows, _ = rows_of(labelled_build(), per_positive=12, **shares)
    captions = [row for row in rows if row["kind"] != "which"]
    sums = earned(captions)
    assert len(captions) > 300
    for everybody, nobody in sums.values():
        assert abs(everybody - nobody) < 3 * (everybody + nobody) ** 0.5 + 3
    best = sum(max(pair) for pair in sums.values())
    assert best - sum(nobody for _, nobody in sums.values()) < 0.05 * len(captions)


def test_as_many_references_stay_and_the_kind_is_theirs() -> None:
    before, _ = rows_of(labelled_build(), balance=False)
    after, _ = rows_of(labelled_build())
    kinds = Counter(row["kind"] for row in after)
    assert set(kinds) == {"single", "multi", "absent", "mixed", "which"}
    assert kinds["absent"] > 2 * Counter(row["kind"] for row in before)["absent"]
    for row in after:
        present = [reference["present"] for reference in row["references"]]
        if row["kind"] == "absent":
            assert not any(present)
        elif row["kind"] != "which":
            assert any(present)
            assert (row["kind"] == "mixed") == (not all(present))
            assert (row["kind"] == "single") == (len(present) == 1)


@pytest.mark.parametrize("changes", [{"balance": False}, {"shares": {"single": 1.0}}])
def test_it_can_be_turned_off(changes: Any) -> None:
    rows, summary = rows_of(labelled_build(), **changes)
    assert Counter(row["kind"] for row in rows)["absent"] < 0.3 * len(rows)
    assert not summary.refused[balance.REFUSED]


def test_a_row_that_could_not_give_way_is_not_made() -> None:
    a, b = object_row("a", "a", identity="a"), object_row("b", "b", identity="a")
    c, d = object_row("c", "c", identity="c"), object_row("d", "d", identity="d")
    photos = [image_row(key) for key in "abcd"]
    negative = pair_row(c, d, "negative")
    build = Build(photos, [a, b, c, d], [pair_row(a, b, "positive"), negative])
    rows, summary = rows_of(build)
    assert not rows
    assert summary.refused[balance.REFUSED] == 1
    assert summary.why == balance.WHY
    assert len(rows_of(build, balance=False)[0]) == 1


def test_without_any_negative_pair_rows_stay() -> None:
    a, b = object_row("a", "a"), object_row("b", "b")
    build = Build([image_row("a"), image_row("b")], [a, b], [pair_row(a, b, "positive")])
    assert [row["kind"] for row in rows_of(build)[0]] == ["single"]
