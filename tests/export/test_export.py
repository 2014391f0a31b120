"""The command: folders, options, metadata of pictures, boxes, cards, pushes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from repic.config.plugins import OWN
from repic.errors import TargetError
from repic.export import card, job, registry, run
from repic.export.folders import new_folder
from repic.export.job import ExportSource
from repic.export.metadata import without_metadata
from repic.export.pictures import PictureWriter, whole
from repic.export.target import ExportOptions
from repic.images.coordinates import (
    INTERNVL,
    NORMALIZED,
    QWEN2_VL,
    QWEN3_VL,
    Box,
    Convention,
    named_convention,
)
from repic.images.identity import image_id_of
from repic.tables import TABLES
from storage.manifest import Origin
from storage.store import Store
from tests.builds import Built, build
from tests.export.reading import REF, exported, rows_of, same

Main = Callable[..., tuple[int, str, str]]
CONVENTIONS = (
    *(QWEN2_VL, QWEN3_VL, INTERNVL, NORMALIZED),
    named_convention("qwen2.5-vl", 3136, 12845056),
)
ORIENTATION, MAKE, GPS = 0x0112, 0x010F, 0x8825


def picture(size: tuple[int, int] = (120, 90)) -> Image.Image:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def jpeg(path: Path, orientation: int = 1, **options: Any) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "SECRETCAM"
    exif.get_ifd(GPS)[1] = "N"
    picture().save(path, "JPEG", exif=exif, comment=b"SECRETCAM", **options)
    return path


def entry(path: Path, size: tuple[int, int] = (120, 90)) -> dict[str, Any]:
    image_id = image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None)
    image = {"image_id": image_id, "uri": path.as_uri(), "width": size[0], "height": size[1]}
    return whole(image)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_whole_jpeg_is_copied_without_its_metadata(progressive: bool, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", progressive=progressive)
    path.write_bytes(path.read_bytes() + b"SECRETCAM video of a moving photo")
    found = PictureWriter(tmp_path / "out", "copy", keep_exif=False).export(entry(path))
    copied = tmp_path / "out" / str(found.path)
    assert copied.suffix == ".jpg"
    assert b"SECRETCAM" not in copied.read_bytes()
    assert not Image.open(copied).getexif()
    assert same(copied, Image.open(path).convert("RGB"))


@pytest.mark.parametrize("keep", [False, True])
def test_a_photo_that_lies_on_its_side_is_written_upright(keep: bool, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", orientation=6)
    found = PictureWriter(tmp_path, "embed", keep).export(entry(path, (90, 120)))
    assert found.data is not None
    shown = Image.open(io.BytesIO(found.data))
    assert (shown.format, shown.size) == ("PNG", (90, 120))
    assert same(found.data, Image.open(path).convert("RGB").transpose(Image.Transpose.ROTATE_270))
    exif = shown.getexif()
    assert (exif.get(MAKE), exif.get(ORIENTATION)) == ("SECRETCAM" if keep else None, None)


def test_with_keep_exif_the_file_is_copied_as_it_is(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg")
    found = PictureWriter(tmp_path / "out", "copy", keep_exif=True).export(entry(path))
    assert (tmp_path / "out" / str(found.path)).read_bytes() == path.read_bytes()


def test_by_reference_only_crops_are_copied(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg")
    writer = PictureWriter(tmp_path / "out", "reference", keep_exif=False)
    assert writer.export(entry(path)).path == str(path)
    crop = writer.export({**entry(path), "crop": [10.0, 10.0, 50.0, 40.0]})
    assert crop.path is not None
    assert Image.open(tmp_path / "out" / crop.path).size == (40, 30)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_no_jpeg_or_one_without_metadata(data: bytes) -> None:
    found = without_metadata(b"\xff\xd8" + data)
    assert found is None or found.startswith(b"\xff\xd8")


@given(
    convention=st.sampled_from(CONVENTIONS),
    width=st.integers(400, 4000),
    height=st.integers(400, 4000),
    data=st.data(),
)
def test_a_box_survives_its_convention(
    convention: Convention, width: int, height: int, data: st.DataObject
) -> None:
    """Edges are off by half a unit at most, so the IoU is at least 0.99 from 400 units on."""
    across, down = convention.grid(width, height)
    unit = 10.0**-convention.decimals
    least = 0.4 if across == 1 else 400.0
    if min(across, down) < least:
        return
    x1 = data.draw(st.floats(0, across - least))
    y1 = data.draw(st.floats(0, down - least))
    x2 = data.draw(st.floats(x1 + least, across))
    y2 = data.draw(st.floats(y1 + least, down))
    box = Box(x1 / across * width, y1 / down * height, x2 / across * width, y2 / down * height)
    back = convention.parse(convention.render(box, width, height), width, height)
    assert abs(back.x1 - box.x1) <= (unit / 2 + 1e-6) * width / across
    assert back.iou(box) >= 0.99


def test_a_folder_is_complete_or_as_it_was(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "out", overwrite=True) as folder:
            (folder / "new").write_text("new")
            raise RuntimeError

    with new_folder(tmp_path / "out") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(TargetError, match="--overwrite"), new_folder(tmp_path / "out"):
        pass
    with new_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_rows_are_chosen(built: Built, tmp_path: Path) -> None:
    options = ExportOptions(splits=("test",), objectives=("oct", "vlt"))
    counts = exported(built.store, "csv", tmp_path / "out", options).facts["rows"]
    assert {split: {*kinds} for split, kinds in counts.items()} == {"test": {"oct", "vlt"}}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to=hff",), "did you mean hf?"),
        (("--to=hf", "--pictures=copy"), "choose embed"),
        (("--to=coco", "--split=train"), "leave out --split"),
        (("--to=csv", "--split=dev"), "choose train, validation, test"),
        (("--to=csv", "--objective=none"), "choose other splits or objectives"),
        (("--to=csv", "--convention=qwen2.5-vl"), "--min-pixels"),
        ((), "program with --to TARGET"),
    ],
)
def test_what_does_not_fit_is_told(
    built: Built, repic_main: Main, arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    where = (str(out), f"--store={built.location}")
    code, _, err = repic_main("export", "dataset@latest", *where, *arguments)
    assert code == 2
    assert told in " ".join(err.split())
    assert not out.exists()
    assert not [*tmp_path.iterdir()]


def test_a_gone_photo_leaves_its_rows_out(built: Built, tmp_path: Path) -> None:
    photo = built.album.file(0)
    kept = photo.read_bytes()
    try:
        photo.unlink()
        facts = exported(built.store, "csv", tmp_path / "out").facts
    finally:
        photo.write_bytes(kept)
    (reason,) = facts["left_out"]
    assert "cannot be read" in reason
    rows = built.store.read("examples@latest").to_pylist()
    gone = sum(any(photo.as_uri() == e["uri"] for e in row["images"]) for row in rows)
    assert facts["left_out"][reason] == gone > 0
    assert sum(n for kinds in facts["rows"].values() for n in kinds.values()) == len(rows) - gone


def test_another_photo_in_the_place_of_one_is_not_exported(built: Built, tmp_path: Path) -> None:
    photo = built.album.file(0)
    kept = photo.read_bytes()
    try:
        shutil.copy(built.album.file(1), photo)
        facts = exported(built.store, "csv", tmp_path / "out").facts
    finally:
        photo.write_bytes(kept)
    assert [*facts["left_out"]] == ["a picture cannot be read (changed)"]


@pytest.mark.parametrize("name", ["split", "example_id"])
def test_rows_of_a_strangers_store_name_no_files(built: Built, name: str, tmp_path: Path) -> None:
    rows = built.store.read("examples@latest").slice(0, 2).to_pylist()
    table = TABLES["examples"].table([rows[0], {**rows[1], name: "../../evil"}])
    store = Store.open(tmp_path / "store", create=True)
    origin = Origin(fingerprint="f", code_version="1")
    made = store.publish("examples", table, origin, key=["example_id"])
    for target in ("webdataset", "verl", "ms-swift", "hf"):
        place = tmp_path / "deep" / target / "out"
        result = run.export(store, str(made.ref), registry.target(target), place)
        assert (result.written, sum(result.facts["left_out"].values())) == (1, 1)
    assert not [*tmp_path.rglob("evil*")]


@pytest.mark.parametrize(
    ("label", "person"),
    [
        *(("person", True), ("human face", True), ("Girl with a red hat", True), ("women", True)),
        *(("baby carriage", False), ("mug with a face", False), ("", False)),
    ],
)
def test_whose_label_is_a_persons(label: str, person: bool) -> None:
    assert card.is_person(label) is person


@pytest.mark.parametrize("table", ["objects", "labels"])
def test_people_without_a_labelled_identity_are_counted(
    built: Built, table: str, tmp_path: Path
) -> None:
    """Mined people, whom the detector or only the prompts call people: two, and no more."""
    store = built.copy(tmp_path / "store")
    groups = {row["object_id"]: row["group"] for row in store.read("groups@latest").to_pylist()}
    named = {r["object_id"] for row in rows_of(store).values() for r in row["references"]}
    subjects = sorted({groups[object_id] for object_id in named})
    source = ExportSource.of(store, REF)
    tables = {name: store.read(bound.ref).to_pylist() for name, bound in source.tables.items()}
    for row in tables["objects"]:
        row["identity"] = None
    for row in tables[table]:
        if groups[row["object_id"]] in subjects[:2]:
            row["label"] = "Human face"
    for name in {"objects", table}:
        origin = Origin(fingerprint="people", code_version="1")
        key = TABLES[name].key
        made = store.publish(name, TABLES[name].table(tables[name]), origin, key=[*key])
        source = replace(source, tables={**source.tables, name: made})
    counts = SimpleNamespace(photos=set(), names=set(), objects=named)
    found = card.subjects(SimpleNamespace(source=source, counts=counts))  # type: ignore[arg-type]
    assert (found.identities, found.people) == (len(subjects), 2)


class Hub:
    """Takes the place of the Hub, which is not here."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, name: str, **options: Any) -> str:
        self.calls.append(("create", options))
        return f"https://hub/{name}"

    def repo_info(self, name: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload", options))


@pytest.mark.parametrize("private", [True, False])
def test_a_push_is_private_and_asks(
    built: Built, repic_main: Main, private: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = Hub(private)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = ("export", "dataset@latest", "--to=hf", "--push=me/album", "--split=test")
    where = (f"--store={built.location}", f"--out={tmp_path / 'out'}")
    code, _, err = repic_main(*asked, *where)
    assert (code, hub.calls) == (2, [])
    assert "identities, labelled or mined, 0 of them people" in " ".join(err.split())
    assert "to a private repository me/album" in " ".join(err.split())
    code, out, err = repic_main(*asked, *where, "--yes", "--overwrite")
    if not private:
        assert code == 2
        assert "exists and is public" in " ".join(err.split())
        assert [name for name, _ in hub.calls] == ["create"]
        return
    assert code == 0, err
    assert "Uploaded to https://hub/me/album" in out
    assert [name for name, _ in hub.calls] == ["create", "upload"]
    assert hub.calls[0][1]["private"] is True
    assert json.loads((tmp_path / "out" / "export.json").read_text())["uris"] is False


@pytest.mark.parametrize(("target", "said"), [("ms-swift", True), ("csv", False), ("trl", False)])
def test_only_rows_for_a_reward_worker_need_its_convention(
    built: Built, repic_main: Main, target: str, said: bool, tmp_path: Path
) -> None:
    place = (f"--to={target}", f"--out={tmp_path / 'out'}", f"--store={built.location}")
    code, out, err = repic_main("export", "dataset@latest", *place, "--split=test")
    assert code == 0, err
    assert ("REPIC_REWARD_CONVENTION" in out) is said


def test_every_target_is_listed(repic_main: Main) -> None:
    code, out, _ = repic_main("export", "--list", "--json")
    assert code == 0
    assert [*json.loads(out)] == [*OWN["exports"]]
    assert all(facts["tested"] for facts in json.loads(out).values())


@pytest.mark.slow
def test_examples_are_exported_by_id_from_any_store(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    build(built.album.settings("runtime.shard_rows=4"), store)
    assert list(rows_of(store)) != sorted(rows_of(store))
    monkeypatch.setattr(job, "SORTED_AT_ONCE", 100)
    for options in (ExportOptions(), ExportOptions(splits=("train",), objectives=("oct", "ict"))):
        files = []
        for number, source in enumerate((store, built.store)):
            out = tmp_path / f"{len(options.splits)} {number}"
            exported(source, "ms-swift", out, options)
            files.append((out / "sft" / "train.jsonl").read_bytes())
        assert files[0] == files[1]
    kept = job.ExportSource.of(store, REF).ordered_examples()
    assert list(kept) == [row for _, row in sorted(rows_of(store).items())]


def test_a_licence_cannot_write_into_the_card() -> None:
    assert card.cell("CC BY-SA 4.0 (https://example.org/a_b/)").startswith("CC BY-SA 4.0 (https:")
    hostile = card.cell("a | 1 |\n\n# [free](https://example.org) <img src=x> `x`")
    assert not set(hostile) & set("|\n[]<>`")
