"""What is exported and read back: the same content, or a sentence that says what is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repic.errors import SchemaError, TargetError
from repic.export.addresses import picture_of
from repic.export.importing import Form, import_rows
from repic.export.target import ExportOptions
from repic.objectives.query_view import box_in_view
from repic.pipeline.forget import forget
from repic.rewards.scoring import score
from storage.store import Store
from tests.builds import Built
from tests.evaluation.test_suites import photo
from tests.export.reading import exported, pictures_are_equal, rows_of, shown
from tests.sources.test_repic_records import RECORDS

Main = Callable[..., tuple[int, str, str]]
FORMS: tuple[Form, ...] = ("hf", "repic-json")
CHANGES = ("mirrored", "scale", "brightness", "contrast", "saturation")


@pytest.mark.parametrize("form", FORMS)
def test_the_content_is_the_same(
    built: Built, form: Form, repic_main: Main, tmp_path: Path
) -> None:
    exported(built.store, form, tmp_path / "out")
    store = str(tmp_path / "store")
    code, out, err = repic_main("import", str(tmp_path / "out"), f"--from={form}", "--store", store)
    assert code == 0, err
    assert "Lost" not in out
    assert "rows: 0" not in err
    expected = built.store.manifest("examples@latest")
    found = Store.open(store).manifest("examples@latest")
    assert (found.content, found.rows) == (expected.content, expected.rows)
    assert found.sources["import"]["content"] == expected.content
    again = import_rows(Store.open(store), tmp_path / "out", form)
    assert again.manifest.ref == found.ref


@pytest.mark.parametrize("form", FORMS)
def test_without_the_photos_rows_show_the_exported_pictures(
    built: Built, form: Form, tmp_path: Path
) -> None:
    exported(built.store, form, tmp_path / "out", ExportOptions(uris=False))
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises(TargetError, match="give --pictures FOLDER"):
        import_rows(store, tmp_path / "out", form)
    result = import_rows(store, tmp_path / "out", form, tmp_path / "photos")
    assert "photos around crops are lost" in result.lost
    before, after = rows_of(built.store), rows_of(store)
    assert {*before} == {*after}
    shutil.rmtree(tmp_path / "out")
    for key in [*before][::97]:
        pictures = [Path(entry["uri"].removeprefix("file://")) for entry in after[key]["images"]]
        assert pictures_are_equal(pictures, before[key])
        if before[key]["box"]:
            assert box_in_view(after[key]) == box_in_view(before[key])


def test_a_photo_that_was_changed_is_not_used(built: Built, tmp_path: Path) -> None:
    exported(built.store, "hf", tmp_path / "out")
    photo_file = built.album.file(3)
    kept = photo_file.read_bytes()
    try:
        shutil.copy(built.album.file(4), photo_file)
        store = Store.open(tmp_path / "store", create=True)
        with pytest.raises(TargetError, match="the file has changed since the build"):
            import_rows(store, tmp_path / "out", "hf")
    finally:
        photo_file.write_bytes(kept)


def test_rows_of_strangers_cannot_name_files_elsewhere(built: Built, tmp_path: Path) -> None:
    exported(built.store, "repic-json", tmp_path / "out")
    secret = tmp_path / "secret.jpg"
    shutil.copy(built.album.file(0), secret)
    file = tmp_path / "out" / "test.jsonl"
    record = json.loads(file.read_text("utf-8").splitlines()[0])
    store = Store.open(tmp_path / "store", create=True)
    record["image"] = [str(secret) for _ in record["example"]["images"]]
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(TargetError, match="is not in"):
        import_rows(store, tmp_path / "out", "repic-json", tmp_path / "photos")
    record["example"]["surprise"] = 1
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises((SchemaError, TargetError)):
        import_rows(store, tmp_path / "out", "repic-json")


def _changed(where: list[Any], value: Any) -> Callable[[Any], None]:
    def change(row: Any) -> None:
        for key in where[:-1]:
            row = row[key]
        row[where[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _changed(["split"], "../../evil"),
        _changed(["example_id"], "../../evil"),
        _changed(["images", -1, "augmentation"], dict.fromkeys(CHANGES, 10**9)),
        _changed(["images", -1, "crop"], [float("nan")] * 4),
        _changed(["images", -1, "width"], -5),
        _changed(["images"], []),
        _changed(["images", 0, "image_id"], 5),
        _changed(["box"], [1.0]),
        _changed(["seed"], 2**70),
        _changed(["answer"], "\ud800"),
        lambda row: row["images"].append(row["images"][0]),
        lambda row: row.pop("scene"),
    ],
)
def test_rows_that_no_export_writes_are_told(
    built: Built, change: Callable[[Any], None], tmp_path: Path
) -> None:
    row = next(iter(rows_of(built.store).values()))
    change(row)
    (tmp_path / "in").mkdir()
    shutil.copy(built.album.file(0), tmp_path / "in" / "a.jpg")
    record = {"image": ["a.jpg"] * 2, "example": row}
    (tmp_path / "in" / "train.jsonl").write_text(json.dumps(record), encoding="utf-8")
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises((SchemaError, TargetError)):
        import_rows(store, tmp_path / "in", "repic-json", tmp_path / "photos")


def test_cells_without_pictures_are_told(built: Built, tmp_path: Path) -> None:
    exported(built.store, "hf", tmp_path / "out", ExportOptions(splits=("test",)))
    (file,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(file).slice(0, 1)
    position = table.column_names.index("images")
    store = Store.open(tmp_path / "store", create=True)
    cell = {"bytes": None, "path": "/etc/passwd"}
    for cells in ([7], [None], [[cell]], [[]]):
        pq.write_table(table.set_column(position, "images", pa.array(cells)), file)
        with pytest.raises(TargetError, match="export it again"):
            import_rows(store, tmp_path / "out", "hf", tmp_path / "photos")


def test_each_row_gets_its_own_pictures_whatever_they_are_called(
    built: Built, tmp_path: Path
) -> None:
    exported(built.store, "hf", tmp_path / "out", ExportOptions(splits=("test",)))
    (file,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(file)
    position = table.column_names.index("images")
    cells = [[{**c, "path": "a.png"} for c in row] for row in table["images"].to_pylist()]
    kind = table.schema.field(position).type
    pq.write_table(table.set_column(position, "images", pa.array(cells, kind)), file)
    store = Store.open(tmp_path / "store", create=True)
    import_rows(store, tmp_path / "out", "hf", tmp_path / "photos")
    for copy in (tmp_path / "photos").iterdir():  # as a kill could leave them
        copy.write_bytes(copy.read_bytes()[:99])
    import_rows(store, tmp_path / "out", "hf", tmp_path / "photos")
    before = rows_of(built.store)
    for key, row in rows_of(store).items():
        assert pictures_are_equal(shown(row), before[key])
        assert [picture_of(entry) for entry in row["images"]]  # ids are those of the copies


def test_released_records(tmp_path: Path) -> None:
    for record in RECORDS:
        names = [record["image"]] if isinstance(record["image"], str) else record["image"]
        for name in names:
            photo(tmp_path / name)
    bad = [{"image": "../up.jpg"}, {"image": ["photos/street.jpg"], "problem": "?"}, 7]
    (tmp_path / "train.json").write_text(json.dumps([*RECORDS, *bad]))
    store = Store.open(tmp_path / "store", create=True)
    result = import_rows(store, tmp_path, "repic-json")
    assert sum(result.skipped.values()) == len(bad)
    assert "no splits" in result.lost
    rows = rows_of(store).values()
    kinds = sorted((row["objective"], row["kind"]) for row in rows)
    assert kinds == [
        *(("ict", "multi"), ("ict", "single"), ("oct", "negative"), ("oct", "positive")),
        *(("vlt", "expression"), ("vlt", "expression")),
    ]
    for row in rows:
        if row["objective"] == "oct":
            assert score(row["answer"], row).total == 1
        if row["kind"] == "multi":
            assert [r["name"] for r in row["references"]] == ["Jo", "Kim"]
            assert [entry["role"] for entry in row["images"]] == ["reference", "reference", "query"]


ODD: dict[str, dict[str, Any]] = {
    "name": {"image": [f"{'n' * 300}.jpg"] * 2, "solution": "<Jo>"},
    "number": {"image": ["a.jpg", "a.jpg"], "solution": 5},
    "surrogate": {"image": ["a.jpg", "a.jpg"], "solution": "<\ud800>"},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_records_are_skipped(tmp_path: Path, odd: dict[str, Any]) -> None:
    photo(tmp_path / "a.jpg")
    good = {"image": ["a.jpg", "a.jpg"], "solution": "<Jo>"}
    form = {"problem": "Who is it?", "accu_reward_method": "yes_no_name"}
    lines = [json.dumps({**form, **record}) for record in (odd, good)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    store = Store.open(tmp_path / "store", create=True)
    result = import_rows(store, tmp_path, "repic-json")
    assert (result.rows, sum(result.skipped.values())) == (1, 1)


def test_texts_of_parquet_that_are_no_utf_8_are_told(built: Built, tmp_path: Path) -> None:
    exported(built.store, "hf", tmp_path / "out", ExportOptions(splits=("test",)))
    (file,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(file).slice(0, 1)
    position = table.column_names.index("answer")
    broken = pa.StringArray.from_buffers(1, *pa.array([b"\xff"]).buffers()[1:])
    pq.write_table(table.set_column(position, "answer", broken), file)
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises(TargetError, match="cannot be read"):
        import_rows(store, tmp_path / "out", "hf", tmp_path / "photos")


def test_a_folder_that_is_no_export_is_told(repic_main: Main, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    store = f"--store={tmp_path / 'store'}"
    code, _, err = repic_main("import", str(tmp_path / "empty"), "--from=hf", store)
    assert code == 2
    assert "give the folder of an export --to hf" in " ".join(err.split())
    code, _, err = repic_main("import", "no such thing", "--from=hf", store)
    assert code == 2
    assert "is neither a folder nor an ORG/NAME" in " ".join(err.split())
    code, _, err = repic_main("import", str(tmp_path / "empty"), "--from=csv", store)
    assert code == 2
    assert "no import reads 'csv'; one of: hf, repic-json" in " ".join(err.split())


def test_a_forgotten_photo_does_not_come_back(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    exported(built.store, "hf", tmp_path / "out")
    store = built.copy(tmp_path / "store")
    forget(store, next(iter(rows_of(store).values()))["images"][0]["image_id"])
    with pytest.raises(TargetError, match="is to forget"):
        import_rows(store, tmp_path / "out", "hf")
