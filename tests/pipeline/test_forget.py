"""Photos and people that a store is to forget: never again in a version, and gone on request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic.errors import ForgetError, SourceError
from repic.images.coordinates import Box
from repic.images.uris import file_path, file_uri
from repic.pipeline import failures, reviews
from repic.pipeline.build import Build
from repic.pipeline.execution import computing_here, execute
from repic.pipeline.forget import forget
from repic.pipeline.forgotten import Forgotten, hashed, of_identity
from repic.pipeline.remains import delete, remains
from repic.pipeline.scan import scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Stage
from storage import integrity
from storage.errors import DamagedError, NotFoundError
from storage.manifest import Origin, Run
from storage.store import Store
from tests.builds import Built, build

Main = Callable[..., tuple[int, str, str]]


def rows_of(store: Store, table: str) -> list[dict[str, Any]]:
    return store.read(f"{table}@latest").to_pylist()


def values(value: Any) -> Iterator[str]:
    """All texts in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from values(key)
            yield from values(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from values(inner)


def texts_of(path: Path) -> set[str]:
    """Every text of a Parquet file, with those of its footer."""
    parquet = pq.ParquetFile(path)
    footer = parquet.metadata.metadata or {}
    table = parquet.read()
    found = {text for column in table.columns for text in values(column.to_pylist())}
    return found | {footer.get(name, b"").decode() for name in (b"covers", b"note")}


def mentions(location: str, *what: str) -> list[str]:
    """Files of a store that have one of these texts, Parquet read and others as bytes."""
    found = []
    for path in sorted(Path(location).rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            hit = any(word in text for text in texts_of(path) for word in what)
        else:
            hit = any(word.encode() in path.read_bytes() for word in what)
        if hit:
            found.append(str(path.relative_to(location)))
    return found


def test_a_photo_is_gone_from_everything(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    option = f"--store={store.location}"
    example = rows_of(store, "examples")[0]
    gone = example["images"][-1]
    pair = next(
        row["pair_id"]
        for row in rows_of(store, "pairs")
        if gone["image_id"] in (row["anchor_image_id"], row["other_image_id"])
    )
    other = next(
        row["pair_id"]
        for row in rows_of(store, "pairs")
        if gone["image_id"] not in (row["anchor_image_id"], row["other_image_id"])
    )
    decision = {"subject": "pair", "decision": "accept", "reviewer": "ann", "note": None}
    reviews.record(store, [{**decision, "subject_id": each} for each in (pair, other)])
    on_photo = {"subject": "identity", "identity": "Rex"}
    named = [reviews.box_id(image, Box(1, 2, 30, 40)) for image in (gone["image_id"], "other")]
    reviews.record(store, [{**decision, **on_photo, "subject_id": each} for each in named])
    trained = store.publish_files(
        "checkpoint",
        {"adapter.bin": b"weights"},
        Origin(fingerprint="0" * 32, inputs=(store.manifest("examples@latest").as_input(),)),
        kind="checkpoint",
    )
    page = store.publish_files(
        "report",
        {"page.html": gone["uri"].encode()},
        Origin(fingerprint="1" * 32, inputs=(store.manifest("dataset@latest").as_input(),)),
        kind="report",
    )
    store.commit({"checkpoint": trained.version, "report": page.version})
    store.tag("dataset@v1", "production")

    code, out, err = repic_main("forget", gone["uri"], "--reason", "asked to", "--json", option)
    assert code == 0, err
    told = json.loads(out)
    assert told["forgotten"]["photos"] == [gone["image_id"]]
    assert told["forgotten"]["decisions"] == 2
    assert {row["subject_id"] for row in rows_of(store, "reviews")} == {other, named[1]}
    assert told["left"]["checkpoints"] == ["checkpoint@v1"]
    assert {"dataset@v1", "examples@v1", "images@v1", "pairs@v1", "report@v1", "reviews@v1"} <= set(
        told["left"]["versions"]
    )
    assert repic_main("forget", "--check", option)[0] == 1
    code, _, err = repic_main("forget", "--delete-old", "--apply", option)
    assert (code, "run `repic build`" in err) == (2, True)

    build(built.album.settings(), store)
    new = store.manifest("dataset@latest")
    for bound in new.inputs:
        every = set(values(store.read(bound.ref).to_pylist()))
        assert not every & {gone["image_id"], gone["uri"], pair, example["example_id"]}, bound.ref
    code, out, _ = repic_main("forget", "--delete-old", option)
    assert "dataset@v1" in out
    assert store.read("images@v1").num_rows > store.read("images@latest").num_rows

    code, out, err = repic_main("forget", "--delete-old", "--apply", "--json", option)
    assert code == 0, err
    assert json.loads(out)["deleted"] > 0
    assert repic_main("forget", "--check", option)[0] == 0
    assert mentions(store.location, gone["image_id"], gone["uri"], pair) == []
    with pytest.raises(NotFoundError, match="images@v1 is withdrawn"):
        store.read("images@v1")
    refs = Store.open(store.location).current()
    assert refs.of("dataset").tags == {}
    assert (refs.of("report").latest, refs.of("checkpoint").latest) == (None, 1)
    assert store.read_file("checkpoint@v1", "adapter.bin") == b"weights"
    assert integrity.verify(store) == []
    assert repic_main("gc", option)[0] == 0
    code, out, _ = repic_main("sql", "select count(*) as n from images", "--format=json", option)
    assert json.loads(out) == [{"n": store.manifest("images@latest").rows}]
    again = build(built.album.settings(), store)
    assert (again.published, again.dataset.ref) == (False, new.ref)


def test_the_same_file_elsewhere_stays_out(built: Built, tmp_path: Path) -> None:
    store, album = built.copy(tmp_path / "store"), built.album.copy(tmp_path / "album")
    image = rows_of(store, "images")[3]
    forget(store, image["image_id"])
    shutil.copytree(album.folder / "photos", tmp_path / "copies")
    settings = album.settings(
        "source.kind=folder", f"source.path={tmp_path / 'copies'}", "source.identity=none"
    )
    found = scan(settings)
    assert image["sha256"] in {photo.sha256 for photo in found.photos}
    kept = Build(settings, store, found).scan
    assert len(kept.photos) == len(found.photos) - 1
    assert image["sha256"] not in {photo.sha256 for photo in kept.photos}


@pytest.mark.parametrize("images", [[{"bytes": b"", "path": "a.jpg"}], ["a.jpg"], None])
def test_an_export_in_the_store_with_other_pictures_is_searched(
    built: Built, tmp_path: Path, images: list[Any] | None
) -> None:
    store = built.copy(tmp_path / "store")
    example = rows_of(store, "examples")[0]
    columns = {
        "example_id": [example["example_id"], "other"],
        "images": [images, [*(images or ())]],
    }
    (tmp_path / "store/export").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "store/export/train.parquet")
    forget(store, example["image_id"])
    assert remains(store).foreign == ("export/train.parquet",)


@pytest.mark.slow
def test_an_identity_is_known_by_its_photos_and_by_its_name(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    objects = rows_of(store, "objects")
    name = next(row["identity"] for row in objects if row["identity"])
    photos = {row["image_id"] for row in objects if row["identity"] == name}
    done = forget(store, name)
    assert (done.meaning, set(done.photos)) == ("identity", photos)
    assert name not in set(values(rows_of(store, "forgotten")))
    build(built.album.settings(), store)
    assert name not in {row["identity"] for row in rows_of(store, "objects")}
    assert not photos & {row["image_id"] for row in rows_of(store, "images")}
    assert delete(store, remains(store)).deleted
    assert not remains(store)
    assert mentions(store.location, *photos) == []
    grown = built.album.copy(tmp_path / "album").grown()
    shown = {thing["identity"] for entry in grown.entries for thing in entry["objects"]}
    assert name in shown
    build(grown.settings(), store)
    assert name not in {row["identity"] for row in rows_of(store, "objects")}


def saved_smaller(photo: Path, copy: Path) -> Path:
    """A picture at three quarters of its size in another format."""
    with Image.open(photo) as picture:
        smaller = picture.convert("RGB").resize([3 * side // 4 for side in picture.size])
        smaller.save(copy, "WEBP", quality=60)
    return copy


def test_copies_that_were_saved_again_are_named(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store, album = built.copy(tmp_path / "store"), built.album.copy(tmp_path / "album")
    option = f"--store={store.location}"
    photo = next(
        row for row in rows_of(store, "images") if file_path(row["uri"]) == str(built.album.file(0))
    )
    copy = saved_smaller(album.file(0), album.folder / "photos" / "copy.webp")
    entry = {**album.entries[0], "file": copy.name, "objects": []}
    album = replace(album, entries=(*album.entries[1:], entry)).written()
    build(album.settings(), store)
    assert photo["image_id"] not in {row["image_id"] for row in rows_of(store, "images")}

    code, out, err = repic_main("forget", photo["image_id"], "--json", option)
    assert code == 0, err
    (alike,) = json.loads(out)["forgotten"]["near_duplicates"]
    assert alike["uri"] == file_uri(copy), "of another version than the photo"
    assert alike["image_id"] in {row["image_id"] for row in rows_of(store, "images")}
    code, _, err = repic_main("forget", photo["image_id"], option)
    assert f"{alike['image_id']}  {alike['uri']}" in err
    assert forget(store, alike["image_id"]).near_duplicates == (), "both are forgotten"


def test_a_copy_that_no_version_has_names_what_it_looks_like(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    copy = saved_smaller(built.album.file(2), tmp_path / "copy.webp")
    done = forget(store, str(copy), "uri")
    assert done.photos == ()
    assert [photo.uri for photo in done.near_duplicates] == [file_uri(built.album.file(2))]


def test_an_unreadable_file_of_an_identity_is_not_named(tmp_path: Path, built: Built) -> None:
    store = built.copy(tmp_path / "store")
    for number, who in enumerate(("Ann", "Ann", "Bob", "Bob", "Cy", "Cy")):
        (tmp_path / "people" / who).mkdir(parents=True, exist_ok=True)
        shutil.copy(built.album.file(number), tmp_path / "people" / who / f"{number}.jpg")
    (tmp_path / "people" / "Ann" / "broken.jpg").write_bytes(b"")
    settings = built.album.settings(
        "source.kind=folder", f"source.path={tmp_path / 'people'}", "source.identity=folder"
    )
    forget(store, "Ann", "identity")
    kept = Build(settings, store, scan(settings)).scan
    assert {photo.photo.identity for photo in kept.photos} == {"Bob", "Cy"}
    assert kept.rejects == ()


@pytest.mark.slow
def test_what_is_in_quarantine_only_is_forgotten_by_its_address(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store, album = built.copy(tmp_path / "store"), built.album.copy(tmp_path / "album")
    broken = album.file(5)
    broken.write_bytes(broken.read_bytes()[:300])
    build(album.settings(), store)
    uri = file_uri(broken)
    assert uri in {row["uri"] for row in rows_of(store, "quarantine")}
    with pytest.raises(ForgetError, match="no version has"):
        forget(store, str(broken))
    forget(store, str(broken), "uri")
    build(album.settings(), store)
    assert rows_of(store, "quarantine") == []
    assert repic_main("forget", "--delete-old", "--apply", f"--store={store.location}")[0] == 0
    assert mentions(store.location, uri) == []


def test_an_identity_that_only_a_reviewer_gave_is_forgotten(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    image_id = rows_of(store, "images")[2]["image_id"]
    box = reviews.box_id(image_id, Box(1, 2, 30, 40))
    decision = {"subject": "identity", "subject_id": box, "identity": "Rex", "reviewer": "ann"}
    reviews.record(store, [{**decision, "decision": "accept", "note": None}])
    held = store.manifest("reviews@latest").ref
    done = forget(store, "Rex")
    assert (done.meaning, done.photos, done.decisions) == ("identity", (image_id,), 1)
    assert rows_of(store, "reviews") == []
    assert str(held) in remains(store).versions


def test_what_could_be_several_things_is_asked(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    with pytest.raises(ForgetError, match="`--as uri` or `--as identity`"):
        forget(store, "nobody")
    with pytest.raises(ForgetError, match="no version has a photo"):
        forget(store, "nobody", "photo")
    with pytest.raises(ForgetError, match="it is empty"):
        forget(store, " ", "identity")
    assert not Forgotten.of(store)


def test_a_build_that_began_before_publishes_nothing(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    settings = built.album.settings("mining.hard_per_object=1")
    begun = Build(settings, store, scan(settings))
    image = rows_of(store, "images")[0]

    def forget_at_the_end(running: Build, stage: Stage) -> None:
        running.publish(stage)
        if stage is STAGES[-1]:
            forget(store, image["image_id"])

    with pytest.raises(SourceError, match="forgotten meanwhile"):
        execute(begun, computing_here(), forget_at_the_end)
    assert store.current().of("dataset").latest == 1


def test_a_damaged_shard_is_named(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    name = rows_of(store, "images")[0]["image_id"]
    path = store.manifest("images@v1").shards[0].path
    data = store.files.read(path)
    store.files.replace(path, b"no Parquet")
    with pytest.raises(DamagedError, match=f"{path} is damaged"):
        forget(store, name)
    store.files.replace(path, data)
    forget(store, name)
    store.files.replace(path, data[: len(data) // 2])
    with pytest.raises(DamagedError, match=f"{path} is damaged"):
        remains(store)


def test_tombstones_are_kept_together(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    first, second = rows_of(store, "images")[:2]
    forget(store, first["image_id"], reason="asked to")
    forget(store, second["uri"])
    forget(store, first["image_id"], reason="another")
    table = store.read("forgotten@latest")
    assert table.num_rows == 4
    reasons = dict(zip(table["hash"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert reasons[hashed(first["image_id"])] == "asked to"
    assert store.versions("forgotten") == [1, 2]


def test_other_files_are_searched_too(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    option = f"--store={store.location}"
    example = rows_of(store, "examples")[0]
    image_id = example["images"][-1]["image_id"]
    photo = next(row for row in rows_of(store, "images") if row["image_id"] == image_id)
    answers = json.dumps({"before": {"greedy": [{"example_id": example["example_id"]}]}})
    trained = store.publish_files(
        "checkpoint",
        {"measured.json": answers.encode(), "model.safetensors": b"weights"},
        Origin(fingerprint="0" * 32, inputs=(store.manifest("examples@v1").as_input(),)),
        kind="checkpoint",
    )
    told = f'<p title="about">&quot;{photo["uri"]}&quot;.</p>'
    page, other = (
        store.publish_files(
            name, {"page.html": text.encode()}, Origin(fingerprint=digit * 32), kind="report"
        )
        for name, digit, text in (("page", "1", told), ("other", "2", "<p>nothing</p>"))
    )
    store.commit({m.name: m.version for m in (trained, page, other)})
    error = SourceError(f"{file_path(photo['uri'])}: cannot be read")
    failures.record(store, error, Run.here(), "train")
    root = Path(store.location)
    foreign = {
        "export/rows.jsonl": json.dumps({"images": [photo["uri"]]}).encode(),
        f"export/{image_id}.png": b"",
        "export/copy.jpg": Path(file_path(photo["uri"])).read_bytes(),
        "export/silent.txt": b"nothing",
        "export/archive.zip": b"who knows",
        "damaged/shards/images/cut.parquet": b"no table",
        "damaged/notes.txt": photo["uri"].encode(),
    }
    for name, content in foreign.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    forget(store, image_id)
    build(built.album.settings(), store)
    failures.record(store, error, Run.here(), "train")

    left = remains(store)
    assert {"page@v1"} == set(left.versions) & {"page@v1", "other@v1"}
    assert left.checkpoints == ("checkpoint@v1",)
    assert set(left.foreign) == {
        *("export/rows.jsonl", f"export/{image_id}.png", "export/copy.jpg"),
    }
    assert "damaged/notes.txt" in left.kept
    assert any(path.startswith("failures/") for path in left.kept)
    assert {"export/archive.zip", "damaged/shards/images/cut.parquet"} <= set(left.unread)
    assert [path for path in left.unread if path.endswith(".safetensors")]
    code, out, err = repic_main("forget", "--delete-old", "--apply", option)
    assert code == 0, err
    assert "none of the store's own: delete it yourself" in out
    assert "Not searched" in err
    after = remains(store)
    assert (after.versions, after.kept, after.checkpoints) == ((), (), left.checkpoints)
    assert after.foreign == left.foreign
    assert repic_main("forget", "--check", option)[0] == 1, "the export is left"
    shutil.rmtree(root / "export")
    assert repic_main("forget", "--check", option)[0] == 0
    assert store.read_file("other@v1", "page.html") == b"<p>nothing</p>"


def test_an_identity_in_the_text_of_a_file_is_found(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    forget(store, "Ann Lee", "identity")
    texts = {
        "a.json": '{"who": "Ann\\u0020Lee"}',
        "b.html": "<td>Ann  Lee</td>",
        "c.csv": "name,age\nAnn Lee,7\n",
        "d.json": '{"who": "Ann Leeds"}',
        "e.txt": "Ann",
        "f.txt": "At noon ANN-LEE's dog slept.",
        "g.html": "<p>A caption with Ann\nLee.</p>",
        "h.txt": "Joann Leeds and Ann, Tom Lee",
    }
    for name, text in texts.items():
        (Path(store.location) / name).write_text(text)
    left = remains(store)
    assert left.foreign == ("a.json", "b.html", "c.csv")
    assert left.mentions == ("f.txt", "g.html")


@pytest.mark.parametrize(
    ("identity", "text", "is_mentioned"),
    [
        ("José", "A mug of JOSE\u0301's.", True),
        ("प्रियंका चोपड़ा", "बगीचे में प्रियंका चोपड़ा बैठी है", True),
        ("प्रिया", "बगीचे में प्रियंका बैठी है", False),
        ("Ann 2", "A mug of ann 2", True),
        ("17", "Photo 17 of 40", False),
    ],
)
def test_words_of_a_name(identity: str, text: str, is_mentioned: bool) -> None:
    names = frozenset(value for kind, value in of_identity(identity) if kind == "name")
    assert Forgotten(names=names).mentioned(text) is is_mentioned


def test_a_name_in_the_caption_of_another_photo_is_listed(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store, album = built.copy(tmp_path / "store"), built.album.copy(tmp_path / "album")
    option = f"--store={store.location}"
    caption = "A dog sleeps beside ann lee."
    first = {**album.entries[0], "caption": caption}
    build(replace(album, entries=(first, *album.entries[1:])).written().settings(), store)
    assert caption in {row["caption"] for row in rows_of(store, "images")}
    forget(store, "Ann Lee", "identity")
    left = remains(store)
    assert (left.versions, left.mentions) == ((), ("images@v2",))
    code, out, _ = repic_main("forget", "--check", option)
    assert code == 0, "nothing can be deleted: it may be somebody else"
    assert "images@v2" in out


def test_the_last_call_is_taken_back(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    option = f"--store={store.location}"
    first, second = rows_of(store, "images")[:2]
    forget(store, first["image_id"], reason="by mistake")
    once = Forgotten.of(store)
    forget(store, second["image_id"])
    assert repic_main("forget", "--undo", option)[0] == 0
    assert Forgotten.of(store) == once
    forget(store, second["image_id"])
    repic_main("forget", "--undo", option)
    code, out, _ = repic_main("forget", "--undo", option)
    assert (code, "by mistake" in out) == (0, True)
    assert not Forgotten.of(store)
    assert not build(built.album.settings(), store).published, "nothing is left out any more"
    code, _, err = repic_main("forget", "--undo", option)
    assert (code, "nothing to take back" in err) == (2, True)
    code, _, err = repic_main("forget", "Ann", "--undo", option)
    assert (code, "stands alone" in err) == (2, True)


def test_nothing_forgotten_reads_nothing(built: Built) -> None:
    assert remains(built.store) == remains(built.store).__class__()
    assert isinstance(built.store.read("images@latest"), pa.Table)


def test_python_does_the_same(built: Built, tmp_path: Path) -> None:
    import repic

    built.copy(tmp_path / "store")
    store = repic.open(tmp_path / "store")
    image = next(iter(store["images@latest"].rows))
    assert store.forget(image["image_id"]).photos == (image["image_id"],)
    assert "images@v1" in store.remains().current
    assert {row["kind"] for row in store.undo_forget()} == {"file", "uri"}
    assert not store.remains()
    store.forget(image["image_id"])
    with pytest.raises(ForgetError, match="run `repic build`"):
        store.remains(delete=True)
