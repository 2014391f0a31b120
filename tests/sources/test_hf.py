from __future__ import annotations

import base64
import json
from pathlib import Path

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import decode, uris
from repic.pipeline.scan import scan
from repic.sources import photos
from repic.sources.base import RefusedPhoto, SourcePhoto

datasets.disable_progress_bars()


def _photos(path: object, **settings: object) -> list[SourcePhoto]:
    chosen = {"kind": "hf", "path": str(path), "identity": "annotation", **settings}
    return list(photos(config.SourceSettings.model_validate(chosen), config.SplitSettings()))


def _picture(level: int) -> Image.Image:
    return Image.new("RGB", (20 + level, 20), (level * 20, 0, 0))


def _dataset() -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "who": datasets.ClassLabel(names=["rex", "ada"]),
            "text": datasets.Value("string"),
        }
    )
    rows = {
        "image": [_picture(n) for n in range(5)],
        "who": [0, 1, 0, -1, None],
        "text": ["a", "b", "", None, "e"],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def _opened(listed: list[SourcePhoto]) -> list[int]:
    return sorted(decode.open_image(photo.uri).width for photo in listed)


def test_parquet_rows_are_addressed_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    _dataset().to_parquet(path)
    listed = _photos(path, identity_column="who", caption_column="text", licence="CC0")
    assert [p.uri for p in listed] == [
        f"{uris.file_uri(path)}#row={n}&column=image" for n in range(5)
    ]
    assert [p.identity for p in listed] == ["rex", "ada", "rex", None, None]
    assert [p.caption for p in listed] == ["a", "b", None, None, "e"]
    assert {(p.source, p.licence) for p in listed} == {("hf", "CC0")}
    assert _opened(listed) == [20, 21, 22, 23, 24]
    hidden = _photos(path, identity_column="who", identity="none")
    assert {p.identity for p in hidden} == {None}


def test_shards_of_the_hub_layout_are_read_by_split(tmp_path: Path) -> None:
    for name, rows in (("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [2])):
        (tmp_path / "data").mkdir(exist_ok=True)
        _dataset().select(rows).to_parquet(tmp_path / "data" / f"{name}.parquet")
    _dataset().select([3]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert _opened(_photos(tmp_path)) == [20, 21, 22]
    assert _opened(_photos(tmp_path, split="test")) == [23]
    with pytest.raises(SourceError, match=r"no split 'dev'.*one of: test, train"):
        _photos(tmp_path, split="dev")


def test_what_save_to_disk_wrote_is_addressed_too(tmp_path: Path) -> None:
    single, several = tmp_path / "single", tmp_path / "several"
    _dataset().select([4, 2]).save_to_disk(single)
    datasets.DatasetDict({"train": _dataset(), "test": _dataset().select([1])}).save_to_disk(
        several
    )
    listed = _photos(single, identity_column="who")
    assert [p.identity for p in listed] == [None, "rex"]
    assert _opened(listed) == [22, 24]
    assert len(_photos(several)) == 5
    assert _opened(_photos(several, split="test")) == [21]


def test_pictures_that_are_files_keep_their_path(tmp_path: Path) -> None:
    for name in ("a.png", "b 1.png"):
        _picture(1).save(tmp_path / name)
    inside = (tmp_path / "a.png").read_bytes()
    cells = [
        {"bytes": None, "path": "a.png"},
        {"bytes": inside, "path": "a.png"},
        {"bytes": None, "path": str(tmp_path / "b 1.png")},
        {"bytes": None, "path": None},
        None,
    ]
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": cells, "file": [c and c["path"] for c in cells]}), path)
    table, a, b = (uris.file_uri(p) for p in (path, tmp_path / "a.png", tmp_path / "b 1.png"))
    rows = [f"{table}#row={n}&column=image" for n in (1, 3, 4)]
    assert [p.uri for p in _photos(path)] == sorted([a, b, *rows])
    by_path = _photos(path, image_column="file")
    assert {p.uri for p in by_path} == {a, b, *(f"{table}#row={n}&column=file" for n in (3, 4))}


def test_a_url_that_leads_nowhere_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    _picture(1).save(tmp_path / "a.png")
    path = tmp_path / "set.parquet"
    urls = ["https://example.org/a.jpg#t=1", "nothing://b.jpg", "a.png"]
    pq.write_table(pa.table({"image": urls}), path)
    source = {"kind": "hf", "path": str(path), "identity": "none"}
    scanned = scan(config.Settings.model_validate({"source": source}))
    assert [Path(f.photo.uri).name for f in scanned.photos] == ["a.png"]
    reasons = zip(urls[:2], ("missing", "forbidden"), strict=True)
    assert {(r.uri, r.error) for r in scanned.rejects} == set(reasons)
    messages = " ".join(reject.message for reject in scanned.rejects)
    assert "#t=1 is not understood" in messages
    assert "nothing" in messages


def test_a_binary_column_is_addressed_by_row(tmp_path: Path) -> None:
    _picture(3).save(tmp_path / "a.png")
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"jpg": [(tmp_path / "a.png").read_bytes()] * 3}), path)
    assert _opened(_photos(path, image_column="jpg")) == [23, 23, 23]


def test_an_image_folder_as_datasets_reads_it(tmp_path: Path) -> None:
    for name in ("train/rex/1.png", "train/ada/2.png", "test/ada/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        _picture(2).save(tmp_path / name)
    (tmp_path / "train" / "ada" / "broken.png").write_bytes(b"no picture")
    listed = _photos(tmp_path, identity_column="label")
    assert {(Path(uris.file_path(p.uri)).name, p.identity) for p in listed} == {
        ("1.png", "rex"),
        ("2.png", "ada"),
        ("broken.png", "ada"),
    }
    assert len(_photos(tmp_path, split="test")) == 1
    with pytest.raises(SourceError, match=r"source\.split"):
        _photos(tmp_path, split="nope")


def test_an_image_folder_with_metadata(tmp_path: Path) -> None:
    lines = []
    for number in range(2):
        _picture(number).save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "says": f"red {number}"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert [p.caption for p in _photos(tmp_path, caption_column="says")] == ["red 0", "red 1"]


def test_rows_come_in_the_order_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": [b"x"] * 120}), path)
    rows = [uris.Location.parse(p.uri).row for p in _photos(path)]
    assert rows == list(range(120))


def test_a_missing_column_or_data_set_says_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    _dataset().to_parquet(path)
    with pytest.raises(SourceError, match=r"no column photo; it has image, who, text"):
        _photos(path, image_column="photo")
    with pytest.raises(SourceError, match=r"holds .*, not pictures; set source\.image_column"):
        _photos(path, image_column="who")
    with pytest.raises(SourceError, match="there is no data set at"):
        _photos(tmp_path / "gone")


def test_a_name_of_the_hub_is_brought_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dataset().to_parquet(tmp_path / "full" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "bare").mkdir()

    def snapshot(name: str, *, revision: str | None, **kept: object) -> str:
        if name == "some/gone":
            raise OSError("no network")
        return str(tmp_path / ("full" if revision and name == "some/set" else "bare"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert len(_photos("some/set")) == 5
    with pytest.raises(SourceError, match="no Parquet files"):
        _photos("some/pictures")
    with pytest.raises(SourceError, match=r"cannot be downloaded.*set source\.path"):
        _photos("some/gone")


def test_labels_and_objects_have_the_names_of_their_classes(tmp_path: Path) -> None:
    objects = {
        "bbox": datasets.List(datasets.List(datasets.Value("float32"), length=4)),
        "category": datasets.List(datasets.ClassLabel(names=["mug", "red_dog"])),
        "area": datasets.List(datasets.Value("int64")),
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=["red_mug", "dog"]),
            "objects": objects,
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
        }
    )
    boxes = [[1, 2, 3, 4], [5, 5, 0, 9], [2, 2, 4, 4]]
    rows = {
        "image": [_picture(1), _picture(2)],
        "kind": [1, 0],
        "objects": [{"bbox": boxes, "category": [1, 1, 0], "area": [12, 0, 16]}, None],
        "width": [21, 22],
        "height": [20, 20],
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set.parquet")
    first, second = _photos(tmp_path, label_column="kind", objects_column="objects")
    assert (first.label, second.label) == ("dog", "red mug")
    assert [(a.box.as_list(), a.label) for a in first.annotations] == [
        ([1, 2, 4, 6], "red_dog"),
        ([2, 2, 6, 6], "mug"),
    ]
    assert first.drawn_on == (21, 20)
    assert second.annotations == ()


def test_objects_may_be_a_list_of_structs_with_corners_and_identities(tmp_path: Path) -> None:
    objects = [
        {"bbox": [1.0, 2.0, 9.0, 8.0], "label": "mug", "identity": "mine"},
        {"bbox": [float("nan"), 2.0, 9.0, 8.0], "label": "mug", "identity": None},
        {"bbox": [1.0, 2.0], "label": "mug", "identity": None},
        {"bbox": None, "label": "mug", "identity": None},
        {"bbox": [9.0, 2.0, 1.0, 8.0], "label": "mug", "identity": None},
    ]
    image = {"bytes": b"x", "path": None}
    pq.write_table(pa.table({"image": [image], "things": [objects]}), tmp_path / "set.parquet")
    (photo,) = _photos(tmp_path, objects_column="things", box_format="xyxy")
    (only,) = photo.annotations
    assert (only.box.as_list(), only.label, only.identity) == ([1, 2, 9, 8], "mug", "mine")


def test_a_struct_of_captions_needs_a_field(tmp_path: Path) -> None:
    rows = {
        "image": [b"x"],
        "texts": [{"en": "a dog", "de": "ein Hund"}],
        "captions": [[{"raw": "a big dog"}, {"raw": "a dog"}]],
    }
    pq.write_table(pa.table(rows), tmp_path / "set.parquet")
    with pytest.raises(SourceError, match=r"a struct, not text.*=texts\.(de|en) or texts\.(de|en)"):
        _photos(tmp_path, caption_column="texts")
    with pytest.raises(SourceError, match=r"caption_column=captions\.raw"):
        _photos(tmp_path, caption_column="captions")
    with pytest.raises(SourceError, match=r"no column texts\.fr"):
        _photos(tmp_path, caption_column="texts.fr")
    assert [p.caption for p in _photos(tmp_path, caption_column="texts.de")] == ["ein Hund"]
    assert [p.caption for p in _photos(tmp_path, caption_column="captions.raw")] == ["a big dog"]


def test_base64_cells_are_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _picture(3).save(tmp_path / "a.png")
    text = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    (tmp_path / "data").mkdir()
    cells = [text, f"data:image/png;base64,{text}", text[:70], "gone.png", f"{text[:71]}é", None]
    pq.write_table(pa.table({"image": cells}), tmp_path / "data" / "train.parquet")
    settings = {"kind": "hf", "path": str(tmp_path / "data"), "identity": "none"}
    scanned = scan(config.Settings.model_validate({"source": settings}))
    assert [len(photo.uris) for photo in scanned.photos if len(photo.uris) > 1] == [2]
    assert "column image holds base64 text" in caplog.text
    assert {r.error for r in scanned.rejects} == {"corrupt", "missing", "empty"}
    assert max(len(reject.message) for reject in scanned.rejects) < 300


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_of_rows_names_photos_beside_it(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "set").mkdir()
    _picture(2).save(tmp_path / "set" / "a.png")
    _picture(3).save(tmp_path / "secret.png")
    rows = pa.table(
        {
            "image": ["a.png", "../secret.png", None, "https://example.org/a.jpg"],
            "who": ["rex", "rex", "rex", None],
        }
    )
    path = tmp_path / "set" / f"rows{suffix}"
    if suffix == ".csv":
        pyarrow.csv.write_csv(rows, path)
    else:
        path.write_text("\n".join(map(json.dumps, rows.to_pylist())))
    listed = _photos(path, identity_column="who")
    refused = [Path(p.uri).name for p in listed if isinstance(p, RefusedPhoto)]
    assert refused == ["secret.png"]
    assert {(Path(p.uri).name, p.identity) for p in listed if p.uri not in refused} >= {
        ("a.png", "rex"),
        ("a.jpg", None),
    }


def test_base64_in_a_file_of_rows_is_refused_in_a_sentence(tmp_path: Path) -> None:
    _picture(3).save(tmp_path / "a.png")
    text = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"image": text}))
    with pytest.raises(SourceError, match="base64 text, which is read from Parquet only") as caught:
        _photos(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", ["", "[", "[1]", "{}", '{"image": 3}', '{"image": [1]}'])
def test_a_broken_file_of_rows_is_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=r"source\.|there is no photo"):
        _photos(path)


def _configured(folder: Path, *lines: str) -> None:
    for name, rows in (("a", [0]), ("b", [1, 2])):
        (folder / name).mkdir(parents=True)
        _dataset().select(rows).to_parquet(folder / name / "train-00000-of-00001.parquet")
    if lines:
        (folder / "README.md").write_text("\n".join(["---", "configs:", *lines, "---"]))


def test_a_configuration_is_chosen_by_name(tmp_path: Path) -> None:
    lines = [f"- config_name: {n}\n  data_files: {n}/*.parquet" for n in ("a", "b")]
    for folder in ("declared", "plain"):
        _configured(tmp_path / folder, *(lines if folder == "declared" else ()))
        assert _opened(_photos(tmp_path / folder, config="b")) == [21, 22]
        with pytest.raises(SourceError, match="has no configuration 'zz'"):
            _photos(tmp_path / folder, config="zz")
    with pytest.raises(SourceError, match=r"several configurations; .*one of: a, b"):
        _photos(tmp_path / "declared")


def test_the_readme_of_a_data_set_names_no_files_outside_of_it(tmp_path: Path) -> None:
    _dataset().to_parquet(tmp_path / "secret.parquet")
    outside = f"- config_name: a\n  data_files: {tmp_path}/secret.parquet"
    _configured(tmp_path / "set", outside)
    with pytest.raises(SourceError, match=r"names .*secret\.parquet, a file outside"):
        _photos(tmp_path / "set", config="a")


def test_formats_that_are_not_pictures_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n")
    with pytest.raises(SourceError, match="of the format text, which is not read"):
        _photos(tmp_path)


def test_a_script_of_a_data_set_is_never_run(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(SourceError, match=r"source\.path"):
        _photos(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["csv", "json", "imagefolder"])
def test_a_folder_may_be_called_as_a_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (name, "other"):
        Path(folder).mkdir()
        _picture(1).save(Path(folder, f"{folder}.png"))
        Path(folder, "metadata.csv").write_text(f"file_name,who\n{folder}.png,rex\n")
    [photo] = _photos(name, identity_column="who", identity="folder")
    assert photo.uri == uris.to_uri(f"{name}/{name}.png")
    assert photo.identity == "rex"
