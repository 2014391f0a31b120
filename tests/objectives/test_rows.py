"""Rows of an examples version, by split and by objective."""

from __future__ import annotations

import pytest

from repic.errors import DataError
from repic.objectives import rows
from storage.errors import StoreError
from tests.builds import Built


def test_examples_of_a_dataset_and_of_a_table(built: Built) -> None:
    store = built.store
    manifest = rows.examples_of(store, "dataset@latest")
    assert manifest == rows.examples_of(store, "examples@latest")
    assert manifest.name == "examples"
    with pytest.raises(StoreError, match="give examples@v3, or a dataset"):
        rows.examples_of(store, "pairs@latest")


def test_a_split_without_rows_says_which_there_are(built: Built) -> None:
    store = built.store
    examples = rows.examples_of(store, "examples@latest")
    table = rows.read(store, examples, "train")
    assert set(table["split"].to_pylist()) == {"train"}
    ids = table["example_id"].to_pylist()
    assert ids == sorted(ids)
    with pytest.raises(DataError, match=r"no rows of the split nowhere: it has .*train"):
        rows.read(store, examples, "nowhere")


def test_balanced_takes_the_same_of_each_objective(built: Built) -> None:
    table = built.store.read("examples@latest")
    chosen = rows.balanced(table, 3)
    counted = {o: sum(r["objective"] == o for r in chosen) for o in ("ict", "oct", "vlt")}
    assert counted == {"ict": 3, "oct": 3, "vlt": 3}
    assert chosen == rows.balanced(table.sort_by("example_id"), 3)
