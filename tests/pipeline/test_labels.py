"""Labels: copies, contradictions, near-duplicates, and decisions of a reviewer."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from repic.config import Settings, load
from repic.errors import SchemaError
from repic.pipeline import reviews, reviews_csv
from repic.pipeline.scan import scan
from storage.errors import StoreError
from storage.store import Store
from tests.builds import Album, Built, build, computed_by, contents, keyed

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def folder_of(folder: Path, files: dict[str, Path]) -> Path:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    return folder


def settings_of(folder: Path, album: Album, *overrides: str) -> Settings:
    """A folder with the photos detector, which draws one box in each."""
    source = {"kind": "folder", "path": str(folder)}
    return load("photos", (*album.overrides, *overrides), source=source)


def identities(folder: Path, album: Album) -> dict[str, tuple[str | None, int]]:
    """First URI of each distinct photo -> its identity, and its number of other URIs."""
    photos = scan(settings_of(folder, album)).photos
    root = folder.as_uri()
    return {
        f.photo.uri.removeprefix(f"{root}/"): (f.photo.identity, len(f.also_at)) for f in photos
    }


def test_the_same_bytes_in_two_places_are_one_photo(album: Album, tmp_path: Path) -> None:
    a, b = album.file(0), album.file(1)
    photos = folder_of(
        tmp_path / "photos",
        {"rex/1.jpg": a, "rex/again.jpg": a, "tom/1.jpg": b, "ann/1.jpg": b, "ann/2.jpg": b},
    )
    assert identities(photos, album) == {
        "rex/1.jpg": ("rex", 1),
        "ann/1.jpg": (None, 2),  # tom's label contradicts it, so none is used
    }


def test_a_copy_without_a_label_takes_none_away(album: Album, tmp_path: Path) -> None:
    a = album.file(0)
    photos = folder_of(tmp_path / "photos", {"a.jpg": a, "rex/1.jpg": a})
    assert identities(photos, album) == {"a.jpg": ("rex", 1)}


def test_contradictory_copies_are_no_positives(
    album: Album, built: Built, tmp_path: Path, store: Store
) -> None:
    """Conflicting photo labels end in objects without one; each copy is accounted for."""
    files = {f"{who}/{n}.jpg": album.file(n) for n in range(4) for who in ("rex", "tom")}
    photos = folder_of(tmp_path / "photos", files)
    outcome = build(settings_of(photos, album), store)
    assert outcome.files == 8
    assert outcome.tables["images"].rows == 4
    assert set(store.read("images@latest")["identity"].to_pylist()) == {None}


def test_the_owners_words_go_before_folders_and_models(
    album: Album, tmp_path: Path, store: Store
) -> None:
    """A box of the owner is the only object of its photo; the label holds for the identity."""
    files = {f"{who}/{n}.jpg": album.file(i) for i, (who, n) in enumerate(product("ab", range(3)))}
    photos = folder_of(tmp_path / "photos", files)
    (photos / "labels.csv").write_text(
        "uri,folder,identity,label,caption,box\n"
        ',a,,red mugs,,\na/0.jpg,,,red mugs,Two mugs.,"5,6,60,70"\nb/0.jpg,,sue,,,\n'
    )
    build(settings_of(photos, album, "detector.kind=photos", "runtime.batch_size=2"), store)
    images = {row["image_id"]: row for row in store.read("images@latest").to_pylist()}
    labels = {row["object_id"]: row for row in store.read("labels@latest").to_pylist()}
    names = {i: row["uri"].removeprefix(f"{photos.as_uri()}/") for i, row in images.items()}
    objects = {names[row["image_id"]]: row for row in store.read("objects@latest").to_pylist()}
    assert len(objects) == len(labels) == 6
    drawn = objects["a/0.jpg"]
    assert [drawn[side] for side in ("x1", "y1", "x2", "y2")] == [5, 6, 60, 70]
    assert drawn["detector"] != objects["a/1.jpg"]["detector"]
    for name in ("a/0.jpg", "a/1.jpg", "a/2.jpg"):
        label = labels[objects[name]["object_id"]]
        assert (label["label"], label["origin"]) == ("red mugs", "owner")
        assert objects[name]["identity"] == "a"
    assert objects["b/0.jpg"]["identity"] == "sue"
    assert images[drawn["image_id"]]["caption"] == "Two mugs."
    asked = [
        "".join(block["text"] for block in row["prompt"])
        for row in store.read("examples@latest").to_pylist()
        if row["objective"] == "vlt" and names[row["images"][-1]["image_id"]].startswith("a/")
    ]
    assert asked
    assert all("the red mugs" in text for text in asked)


def near_copy(source: Path, target: Path) -> Path:
    """The same picture with other bytes, as a messenger re-encodes a photo of a phone."""
    Image.open(source).save(target, quality=60)
    return target


def test_near_duplicates_are_no_positives_and_share_a_split(
    album: Album, tmp_path: Path, store: Store
) -> None:
    mine = album.copy(tmp_path / "album")
    extra = []
    for number in range(0, 20, 2):
        name = f"copy-{number}.jpg"
        near_copy(mine.file(number), mine.folder / "photos" / name)
        extra.append({**mine.entries[number], "file": name})
    mine = replace(mine, entries=(*mine.entries, *extra), rest=()).written()
    build(mine.settings(), store)
    images = store.read("images@latest").to_pylist()
    cluster = {row["image_id"]: row["near_duplicate_group"] for row in images}
    by_name = {row["uri"].rpartition("/")[2]: row["image_id"] for row in images}
    for number in range(0, 20, 2):
        original = cluster[by_name[mine.entries[number]["file"]]]
        assert original == cluster[by_name[f"copy-{number}.jpg"]]
    for pair in store.read("pairs@latest").to_pylist():
        assert cluster[pair["anchor_image_id"]] != cluster[pair["other_image_id"]]
    splits: dict[str, set[str]] = {}
    for row in store.read("groups@latest").to_pylist():
        splits.setdefault(cluster[row["image_id"]], set()).add(row["split"])
    assert all(len(members) == 1 for members in splits.values())


def decide(store: Store, path: Path, decisions: dict[tuple[str, str], str]) -> None:
    """Export, fill in decisions, import."""
    reviews_csv.export(store, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    exported = {(row["subject"], row["subject_id"]) for row in rows}
    rows += [
        {"subject": s, "subject_id": i, "decision": "", "reviewer": "", "note": ""}
        for s, i in decisions
        if (s, i) not in exported
    ]
    for row in rows:
        if decision := decisions.get((row["subject"], row["subject_id"])):
            row |= {"decision": decision, "reviewer": "Jo", "note": "looked, twice"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, reviews.COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    reviews_csv.read(store, path)


def pairs_in_examples(store: Store) -> set[str]:
    return {
        pair for pairs in store.read("examples@latest")["pair_ids"].to_pylist() for pair in pairs
    }


def test_a_build_honours_what_a_person_decided(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    table = keyed(store.read("pairs@latest"), "pairs")
    used = pairs_in_examples(store)
    doubtful = sorted(key for (key,), row in table.items() if row["doubtful"])
    assert len(doubtful) > 3
    assert not used & set(doubtful)
    rejected = sorted(used)[0]
    thing = store.read("objects@latest").to_pylist()[0]["object_id"]
    decisions = {("pair", pair): "accept" for pair in doubtful}
    decisions |= {("pair", rejected): "reject", ("object", thing): "reject"}
    decide(store, tmp_path / "decisions.csv", decisions)

    outcome = build(built.album.settings(), store)
    assert outcome.published
    assert computed_by(outcome) == {}
    now = pairs_in_examples(store)
    assert rejected not in now
    touching = {
        key for (key,), row in table.items() if thing in (row["anchor_id"], row["other_id"])
    }
    accepted = set(doubtful) - touching
    assert accepted & now
    for name in ("objects", "embeddings", "groups"):
        assert thing not in store.read(f"{name}@latest")["object_id"].to_pylist()
    after = keyed(store.read("pairs@latest"), "pairs")
    assert not touching & {key for (key,) in after}
    ends = {(row["anchor_id"], row["other_id"]): key for (key,), row in table.items()}
    mirrored = {key: ends.get((row["other_id"], row["anchor_id"])) for (key,), row in table.items()}
    accepted |= {mirrored[key] for key in accepted}
    rejected_both = {rejected, mirrored[rejected]}
    for (key,), row in after.items():
        expected = "accept" if key in accepted else "reject" if key in rejected_both else None
        assert row["review"] == expected
    for example in store.read("examples@latest").to_pylist():
        assert thing not in {r["object_id"] for r in example["references"]}
    for name in ("objects", "pairs"):
        manifest = outcome.tables[name]
        assert "reviews@v1" in {str(i.ref) for i in manifest.inputs}
    assert not build(built.album.settings(), store).published

    decided = reviews.decisions(store)
    reviews.record(store, [{**row, "decision": ""} for row in decided])
    without = build(built.album.settings(), store)
    assert {n: m.content for n, m in without.tables.items()} == {
        n: m.content for n, m in built.outcome.tables.items()
    }


def test_exported_decisions_come_in_unchanged(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    doubtful = [r["pair_id"] for r in store.read("pairs@latest").to_pylist() if r["doubtful"]]
    path = tmp_path / "decisions.csv"
    assert reviews_csv.export(store, path) == len(doubtful)
    decide(store, path, {("pair", doubtful[0]): "reject"})
    first = store.manifest("reviews@latest")
    assert reviews_csv.export(store, path) == len(doubtful)
    assert reviews_csv.read(store, path).content == first.content
    assert store.versions("reviews") == [1]


def test_going_back_to_old_decisions_is_the_old_version(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    pair = sorted(pairs_in_examples(store))[0]
    decide(store, tmp_path / "1.csv", {("pair", pair): "reject"})
    one = build(built.album.settings(), store)
    decide(store, tmp_path / "2.csv", {("pair", pair): "accept"})
    two = build(built.album.settings(), store)
    assert two.dataset.version == one.dataset.version + 1
    reviews_csv.read(store, tmp_path / "1.csv")
    again = build(built.album.settings(), store)
    assert not again.published
    assert contents(again) == contents(one)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"subject,subject_id\n", "lacks the column decision, reviewer"),
        (b"", "lacks the column"),
        (b"subject,subject_id,decision,reviewer,note\npair,x,maybe,Jo,\n", "line 2"),
        (b"subject,subject_id,decision,reviewer,note\nphoto,x,accept,Jo,\n", "line 2"),
        (b"subject,subject_id,decision,reviewer,note\npair,x,accept,,\n", "reviewer"),
        (b"subject,subject_id,decision,reviewer,note\npair,,accept,Jo,\n", "subject_id"),
        (b"subject,subject_id,decision,reviewer,note\npair,x,accept,J\xf6rg,\n", "UTF-8"),
        (
            b"subject,subject_id,decision,reviewer,note\npair,x,accept,A,\npair,x,reject,A,\n",
            "give each row once",
        ),
    ],
)
def test_a_file_that_says_nonsense_is_refused_whole(
    text: bytes, hint: str, built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    path = tmp_path / "decisions.csv"
    path.write_bytes(text)
    with pytest.raises((SchemaError, StoreError), match=hint):
        reviews_csv.read(store, path)
    code, _, err = repic_main("reviews", "import", str(path), f"--store={store.location}")
    assert (code, err.count("repic: ")) == (2, 1)
    assert hint in err
    assert not store.versions("reviews")


def test_a_missing_file_is_one_sentence(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    code, _, err = repic_main("reviews", "import", "/nowhere.csv", f"--store={store.location}")
    assert code == 2
    assert err.startswith("repic: /nowhere.csv")


def test_reviews_on_the_command_line(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    path = tmp_path / "doubtful.csv"
    code, out, _ = repic_main("reviews", "export", str(path), f"--store={store.location}")
    assert code == 0
    assert str(path) in out
    lines = path.read_text().splitlines()
    filled = lines[1].replace(",,,", ",accept,Zoë,", 1)
    path.write_text("\n".join([lines[0], filled, *lines[2:]]) + "\n", encoding="utf-8-sig")
    code, out, err = repic_main("reviews", "import", str(path), f"--store={store.location}")
    assert code == 0, err
    assert "reviews@v1 holds 1 decisions" in out
    (row,) = store.read("reviews@latest").to_pylist()
    assert row["reviewer"] == "Zoë"
    assert row["note"] is None


def test_an_id_that_nothing_has_is_counted_and_named(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    pair = store.read("pairs@latest")["pair_id"][0].as_py()
    box = store.read("objects@latest")["object_id"][0].as_py()
    path = tmp_path / "decisions.csv"
    decisions = [f"pair,{pair},accept,Jo,", f"object,{box},reject,Jo,"]
    wrong = [f"pair,{box},accept,Jo,", "object,f00d,reject,Jo,"]
    for lines, count in ((decisions, 0), (decisions + wrong, 2)):
        path.write_text("\n".join(["subject,subject_id,decision,reviewer,note", *lines]) + "\n")
        code, out, err = repic_main("reviews", "import", str(path), f"--store={store.location}")
        assert code == 0, err
        assert f"holds {len(lines)} decisions" in out
        assert ("name a pair or object that no version has" in err) == bool(count)
    path.write_text("subject,subject_id,decision,reviewer,note\n" + "\n".join(wrong) + "\n")
    assert reviews_csv.unknown(store, reviews_csv.read(store, path)) == sorted([box, "f00d"])
    build(built.album.settings("mining.hard_per_object=0", "splits.salt=x"), store)
    undone = [line.replace(",accept,", ",,").replace(",reject,", ",,") for line in wrong]
    path.write_text("subject,subject_id,decision,reviewer,note\n" + "\n".join(undone) + "\n")
    assert reviews_csv.unknown(store, reviews_csv.read(store, path)) == []
