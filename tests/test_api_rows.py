"""Rows of a version: typed, for PyTorch, by split, in a notebook."""

from __future__ import annotations

import pickle
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

import repic
from repic.errors import DataError, PictureError
from repic.images.cache import PictureCache
from storage.errors import NotFoundError, StoreError
from storage.manifest import Origin
from storage.store import Store
from tests.builds import Built

datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def examples(built: Built) -> repic.Version:
    return repic.open(built.location)["examples@latest"]


def test_typed_rows_are_the_rows_of_the_table(examples: repic.Version) -> None:
    rows = list(examples.rows)
    typed = list(examples)
    assert [example.row for example in typed] == rows
    assert {example.objective for example in typed} == {"oct", "vlt", "ict"}
    for example, row in zip(typed, rows, strict=True):
        assert example.prompt.count("<image>") == len(row["images"])
        assert [r.name for r in example.references] == [r["name"] for r in row["references"]]
        assert [r.shown.entry for r in example.references] == row["images"][:-1]
        assert example.query.role == "query"
        assert example.box == (row["box"] and tuple(row["box"]))
    with pytest.raises(AttributeError):
        typed[0].answer = "yes"  # type: ignore[misc]


def test_pictures_of_a_row_are_those_of_training(examples: repic.Version) -> None:
    for objective in ("oct", "vlt", "ict"):
        example = next(example for example in examples if example.objective == objective)
        expected, unreadable = PictureCache().of_row(example.row)
        assert unreadable is None
        assert [p.tobytes() for p in example.pictures] == [p.tobytes() for p in expected]
        shown = [*(reference.shown for reference in example.references), example.query]
        assert [picture.size for picture in shown] == [picture.size for picture in expected]


def test_a_changed_reference_has_the_size_that_it_says(examples: repic.Version) -> None:
    entry = next(e for e in examples if e.objective == "oct").references[0].shown.entry
    changes = {"mirrored": True, "scale": 70, "brightness": 90, "contrast": 100, "saturation": 100}
    changed = repic.ShownPicture.of({**entry, "augmentation": changes})
    assert changed.size == changed.picture.size != repic.ShownPicture.of(entry).size


def test_only_examples_are_typed_rows(built: Built) -> None:
    store = repic.open(built.location)
    with pytest.raises(DataError, match=r'use version\["examples"\]'):
        iter(store["dataset@latest"])
    with pytest.raises(DataError, match=r"use version\.rows"):
        iter(store["pairs@latest"])


def test_data_loaders_with_workers_give_every_row(examples: repic.Version) -> None:
    from torch.utils.data import DataLoader

    columns = ["example_id", "images", "box", "seed", "similarity"]
    rows = examples.to_torch(columns, pc.field("objective") != "ict")
    assert len(pickle.loads(pickle.dumps(rows))) == len(rows) > 8
    loader = DataLoader(rows, batch_size=4, num_workers=2, collate_fn=rows.collate)
    batches = list(loader)
    ids = [name for batch in batches for name in batch["example_id"]]
    expected = examples.to_arrow(columns, pc.field("objective") != "ict").to_pylist()
    assert ids == [row["example_id"] for row in expected]
    assert batches[0]["seed"].tolist() == [row["seed"] for row in expected[:4]]
    assert all(isinstance(p, Image.Image) for b in batches for row in b["images"] for p in row)
    boxes = [box for batch in batches for box in batch["box"]]
    for row, box in zip(expected, boxes, strict=True):
        assert box is None if row["box"] is None else box.tolist() == row["box"]
    similarities = [value for batch in batches for value in batch["similarity"].tolist()]
    missing = [row["similarity"] is None for row in expected]
    assert [value != value for value in similarities] == missing


def test_vectors_and_flags_are_tensors(built: Built) -> None:
    store = repic.open(built.location)
    vector = store["embeddings@latest"].to_torch(["vector"])[0]["vector"]
    assert (str(vector.dtype), vector.ndim) == ("torch.float16", 1)
    assert (
        str(store["pairs@latest"].to_torch(["same_label"])[0]["same_label"].dtype) == "torch.bool"
    )


def test_splits_are_apart_and_together_everything(examples: repic.Version) -> None:
    splits = examples.to_dataset_dict(["example_id", "split"])
    assert sum(map(len, splits.values())) == len(examples)
    for name, rows in splits.items():
        assert set(rows["split"]) == {name}


def test_copies_of_different_columns_are_not_confused(examples: repic.Version) -> None:
    """`datasets` caches what `map` gives by the fingerprint of the rows."""
    some = examples.to_datasets(["split"]), examples.to_datasets(["kind"])
    assert some[0]._fingerprint != some[1]._fingerprint
    assert some[0]._fingerprint == examples.to_datasets(["split"])._fingerprint


def test_every_column_is_explained(examples: repic.Version, built: Built) -> None:
    assert list(examples.docs) == examples.schema.names == examples.to_pandas().columns.tolist()
    assert all(examples.docs.values())
    assert repic.open(built.location)["dataset@latest"].docs == {}


def test_errors_say_what_there_is(examples: repic.Version, built: Built) -> None:
    with pytest.raises(StoreError, match="No column anwser: there are example_id"):
        examples.to_datasets(["anwser"])
    with pytest.raises(NotFoundError, match="choose one of v1, latest"):
        repic.open(built.location)["examples@v9"]
    with pytest.raises(StoreError, match="is a dataset, not a table: read one of"):
        repic.open(built.location)["dataset@latest"].to_pandas()
    with pytest.raises(DataError, match="no column split: use to_datasets"):
        repic.open(built.location)["quarantine@latest"].to_dataset_dict()


def test_a_photo_that_is_gone_is_named_when_its_row_is_looked_at(
    built: Built, tmp_path: Path
) -> None:
    row = next(iter(repic.open(built.location)["examples@latest"].rows))
    row["images"][-1]["uri"] = (tmp_path / "gone.jpg").as_uri()
    example = repic.Example.of(row)
    with pytest.raises(PictureError, match=r"gone\.jpg: there is no such file; put the photo back"):
        _ = example.query.picture
    assert example.query.size == tuple(example.query.photo_size)


def test_a_notebook_shows_hostile_texts_as_text(built: Built, tmp_path: Path) -> None:
    assert "train, validation or test." in repic.open(built.location)["examples@v1"]._repr_html_()
    assert "<td>pairs@v1</td>" in repic.open(built.location)["dataset@v1"]._repr_html_()
    hostile = pa.schema([pa.field("<script>alert(1)</script>", pa.string(), nullable=False)])
    store = Store.open(tmp_path / "store", create=True)
    rows = pa.table([["a"]], schema=hostile)
    manifest = store.publish("odd", rows, Origin(fingerprint="odd"), key=hostile.names)
    shown = repic.Version(store, manifest)._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_rows_of_an_old_store_are_typed_as_well() -> None:
    store = repic.open(Path(__file__).parent / "fixtures" / "store-v1")
    for ref in store.versions("examples"):
        typed = list(store[ref])
        assert len(typed) == len(store[ref]) == len(store[ref].to_datasets()) > 0
        assert all(example.query.size == example.query.photo_size for example in typed)
