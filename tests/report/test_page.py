"""The page of a dataset version: its contents, edge cases, and that it is one file."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from repic import report
from repic.images import uris
from repic.report.pictures import SIDE
from repic.tables import TABLES
from storage.errors import NotFoundError, StoreError
from storage.manifest import Origin
from storage.store import Store
from tests.report import builds
from tests.report.pages import Page

EVIL = '<img src=x onerror="alert(1)">&\'"'


def refused(uri: str, error: str = "truncated", message: str = "the end is missing") -> dict:
    return {
        "uri": uri,
        "image_id": None,
        "stage": "images",
        "error": error,
        "message": message,
    }


def test_the_page_says_what_the_version_is(store: Store, rows: builds.Rows) -> None:
    rows.quarantine = [refused("file:///photos/bad%20one.jpg")]
    dataset = builds.publish(store, rows, notes={"pairs": {"leakage": 0.0125}})
    page = Page(report.render(store, "dataset@latest"))
    for fact in (
        "dataset v1 latest",
        dataset.fingerprint,
        dataset.content,
        f"{dataset.created:%Y-%m-%d %H:%M:%S} UTC",
        "ada on engine",
        "repic 0.1.0",
        "folder · /photos",
        "24 photos of 25 files listed by the source",
        "48 objects",
        "1 quarantined 1 reason",
        "photos/bad one.jpg the end is missing",
        "pairs.leakage 0.0125",
        "images@v1",
        "source folder",
        "100 (mug, dog, mug",
    ):
        assert fact in page.text


def test_counts_are_those_of_the_tables(store: Store, rows: builds.Rows) -> None:
    builds.publish(store, rows)
    examples = store.read("examples@latest").to_pylist()
    page = Page(report.render(store, "dataset@latest"))
    assert f"{len(examples)} examples" in page.text
    for objective in ("oct", "vlt", "ict"):
        for kind in {row["kind"] for row in examples if row["objective"] == objective}:
            matching = [r for r in examples if r["objective"] == objective and r["kind"] == kind]
            counts = [
                len([r for r in matching if r["split"] == split]) or "\u2013"
                for split in ("train", "validation", "test")
            ]
            assert f"{kind} {counts[0]} {counts[1]} {counts[2]} {len(matching)}" in page.text


def test_it_is_one_file_without_scripts_or_links(store: Store, rows: builds.Rows) -> None:
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("data:", "#"))
    assert "url(" not in page.html
    assert "@import" not in page.html
    assert all(max(picture.size) <= SIDE for picture in page.pictures)
    assert len(page.pictures) > 40


def test_the_same_version_gives_the_same_page(store: Store, rows: builds.Rows) -> None:
    builds.publish(store, rows)
    assert report.render(store, "dataset@v1") == report.render(
        Store.open(store.location), "dataset@v1"
    )


def test_a_table_stands_for_the_newest_dataset_that_binds_it(
    store: Store, rows: builds.Rows
) -> None:
    builds.publish(store, rows)
    rows.quarantine = [refused("file:///photos/new.jpg")]
    builds.publish(store, rows)
    assert "dataset v2 latest" in Page(report.render(store, "examples@latest")).text
    assert "dataset v2 latest" in Page(report.render(store, "pairs@v1")).text
    page = Page(report.render(store, "quarantine@v1"))
    assert "dataset v1" in page.text
    assert "dataset v1 latest" not in page.text
    assert "Requested as quarantine@v1" in page.text


def test_what_no_report_can_be_about_is_an_error(store: Store, rows: builds.Rows) -> None:
    builds.publish(store, rows)
    alone = Origin(fingerprint="alone")
    store.publish("loose", store.read("pairs@v1"), alone, key=["pair_id"])
    store.publish_files("model", {"weights.bin": b"0"}, alone, kind="checkpoint")
    with pytest.raises(NotFoundError, match="No dataset binds loose@v1"):
        report.render(store, "loose@v1")
    with pytest.raises(StoreError, match="is a checkpoint"):
        report.render(store, "model@v1")
    with pytest.raises(NotFoundError, match="There is no dataset@v7"):
        report.render(store, "dataset@v7")


def test_names_and_labels_are_never_read_as_html(
    store: Store, rows: builds.Rows, tmp_path: Path
) -> None:
    path = tmp_path / "photos" / "<b>& x" / "<script>.jpg"
    image_id = builds.photo(path, [("red", (20, 20, 90, 90))], "white")
    old = rows.images[0]["image_id"]
    rows.images[0] |= {"image_id": image_id, "uri": uris.file_uri(path), "caption": EVIL}
    rows.images[0]["near_duplicate_group"] = image_id
    rows.splits[image_id] = rows.splits.pop(old)
    for table in (rows.objects, rows.pairs):
        for row in table:
            for column in ("image_id", "anchor_image_id", "other_image_id"):
                if row.get(column) == old:
                    row[column] = image_id
    for row in rows.objects:
        row |= {"label": EVIL, "identity": f"{EVIL}{row['identity']}"}
    rows.quarantine = [refused(f"file:///{EVIL}", EVIL, EVIL)]
    builds.publish(store, rows, notes={"pairs": {EVIL: EVIL}})
    page = Page(report.render(store, "dataset@latest"))
    assert EVIL in page.text
    assert "<b>& x/<script>.jpg" in page.text
    assert "<img src=x" not in page.html
    assert "<script" not in page.html


def test_photos_that_are_gone_leave_a_frame_with_the_reason(
    store: Store, rows: builds.Rows, tmp_path: Path
) -> None:
    builds.publish(store, rows)
    complete = Page(report.render(store, "dataset@latest"))
    photos = sorted((tmp_path / "photos").rglob("*.jpg"))
    photos[0].unlink()
    photos[1].write_bytes(photos[2].read_bytes())
    photos[3].write_bytes(b"")
    page = Page(report.render(store, "dataset@latest"))
    for reason in (
        "missing: there is no such file",
        "changed: the file has changed since the build",
        "empty: there are no bytes in it",
    ):
        assert reason in page.text
    gone = page.count("div", "gone")
    assert gone >= 3
    assert len(page.pictures) + gone == len(complete.pictures)


@pytest.mark.parametrize("uri", ["nonsense", "nowhere://bucket/a.jpg", "file:///a.jpg#t=1"])
def test_an_address_that_nothing_can_read_leaves_a_frame(
    store: Store, rows: builds.Rows, uri: str
) -> None:
    for row in rows.images:
        row["uri"] = uri
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert page.pictures == []
    assert page.count("div", "gone") > 40


def test_an_objective_without_rows_says_why(store: Store, rows: builds.Rows) -> None:
    rows.pairs = []
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert "No oct examples: no usable positive pair" in page.text
    assert "No ict examples: no usable positive pair" in page.text
    assert "No vlt examples" not in page.text
    assert "This version has no pairs" in page.text
    assert "No hard negative." in page.text


def test_photos_without_any_object(store: Store, rows: builds.Rows) -> None:
    rows.pairs, rows.objects = [], []
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert "0 objects 0 labels" in page.text
    assert "0 examples" in page.text
    assert "No object was found in any photo." in page.text
    assert "no object was found in 24 photos" in page.text


def test_a_build_that_could_use_no_photo(store: Store) -> None:
    bad = [refused(f"file:///photos/{n:03}.jpg") for n in range(40)]
    bad += [refused("file:///photos/x.txt", "not-an-image", "its content is of no image format")]
    builds.publish(store, builds.Rows(quarantine=bad))
    page = Page(report.render(store, "dataset@latest"))
    assert "No photo could be used." in page.text
    assert "0 photos of 41 files" in page.text
    assert "41 quarantined 2 reasons" in page.text
    assert page.text.index("truncated images 40") < page.text.index("not an image images 1")
    assert "and 28 more" in page.text
    assert page.pictures == []


def test_a_dataset_of_few_tables_is_no_error(store: Store, rows: builds.Rows) -> None:
    builds.publish(store, rows)
    images = store.manifest("images@v1")
    few = store.publish_dataset("dataset", Origin(fingerprint="few", inputs=(images.as_input(),)))
    page = Page(report.render(store, str(few.ref)))
    assert "24 photos distinct" in page.text
    assert "No oct examples: the build gives no reason." in page.text


def test_near_duplicates_and_copies(store: Store, rows: builds.Rows) -> None:
    for row in rows.images[1:7]:
        row["near_duplicate_group"] = rows.images[0]["image_id"]
    rows.images[3]["also_at"] = ["file:///photos/copy.jpg"]
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert "7 photos in 1 group are near-duplicates" in page.text
    assert "and 2 more" in page.text
    assert "1 more file with the same bytes" in page.text


def test_the_page_stays_small_whatever_the_photos_show(store: Store, tmp_path: Path) -> None:
    rows = builds.rows(tmp_path / "photos", identities=40, noise=True)
    for row in rows.images:
        row["near_duplicate_group"] = rows.images[0]["image_id"]
    builds.publish(store, rows)
    page = Page(report.render(store, "dataset@latest"))
    assert page.count("div", "gone") == 0
    assert len(page.pictures) > 70
    assert len(page.html.encode()) < 5_000_000


def test_write_makes_folders_and_leaves_nothing_beside_the_page(
    store: Store, rows: builds.Rows, tmp_path: Path
) -> None:
    builds.publish(store, rows)
    path = report.write(store, "dataset@latest", tmp_path / "new" / "page.html")
    assert path == tmp_path / "new" / "page.html"
    assert path.read_text(encoding="utf-8") == report.render(store, "dataset@latest")
    assert report.write(store, "dataset@latest", path.parent) == path.parent / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["page.html", "report.html"]


def test_a_box_that_is_asked_about_is_drawn_and_written_out(
    store: Store, rows: builds.Rows
) -> None:
    dataset = builds.publish(store, rows)
    [row] = store.read("examples@latest", filter=pc.field("objective") == "ict").to_pylist()[:1]
    row |= {"kind": "which", "box": [20.0, 30.0, 100.0, 120.0], "answer": "<Ada>"}
    row["prompt"][-1]["text"] = "Who is in the box {box}?"
    table = TABLES["examples"].table([row])
    examples = store.publish("examples", table, Origin(fingerprint="which"), key=["example_id"])
    inputs = [i for i in dataset.inputs if i.name != "examples"]
    origin = Origin(fingerprint="new", inputs=(*inputs, examples.as_input()))
    store.publish_dataset("dataset", origin)
    page = Page(report.render(store, str(examples.ref)))
    assert "Who is in the box [20, 30, 100, 120]?" in page.text
    assert "Answer <Ada>" in page.text
    [article] = page.html.split("<article")[1:]
    assert article.partition("</article>")[0].count('class="box main"') == 1


def test_the_page_of_a_strangers_checkpoint_runs_nothing_and_is_intact(store, tmp_path):
    data = {"training.html": b"<!doctype html><p>A run</p><script>document.title = 'ran'</script>"}
    manifest = store.publish_files("checkpoint", data, Origin(fingerprint="f"), kind="checkpoint")
    text = report.write(store, "checkpoint@v1", tmp_path / "run.html").read_text(encoding="utf-8")
    policy, page = text.split("\n", 1)
    assert "Content-Security-Policy" in policy
    assert "default-src 'none'" in policy
    assert page.encode() == data["training.html"]
    Path(store.files.full(manifest.files[0].path)).write_bytes(b"other bytes")
    with pytest.raises(StoreError, match="its bytes have changed"):
        report.write(store, "checkpoint@v1", tmp_path / "again.html")
