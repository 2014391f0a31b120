"""Builds honour decisions on boxes and identities, and say which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repic.errors import SchemaError
from repic.images.coordinates import Box
from repic.pipeline import reviews, reviews_csv
from repic.pipeline.reviews import box_id, record
from repic.pipeline.stages.reviewed import subject_id
from storage.store import Store
from tests.builds import Built, build, contents


def box(id_: str, decided: str = "accept", who: str = "Ann", **said: Any) -> reviews.Decision:
    """A decision on a box; with `identity`, on who it is."""
    subject = "identity" if "identity" in said else "box"
    change = {"subject": subject, "subject_id": id_, "decision": decided, "reviewer": who}
    return {**dict.fromkeys(reviews.COLUMNS), **change, **said}


def boxes_of_vlt(store: Store, image_id: str) -> dict[tuple[float, ...], str]:
    """Box -> prompt of the VLT rows about a photo."""
    rows = store.read("examples@latest").to_pylist()
    return {
        tuple(row["box"]): "".join(block["text"] for block in row["prompt"])
        for row in rows
        if row["objective"] == "vlt" and row["image_id"] == image_id
    }


def test_boxes_are_moved_deleted_and_drawn(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    images = {row["image_id"]: row for row in store.read("images@latest").to_pylist()}
    things = store.read("objects@latest").to_pylist()
    asked = {r["image_id"] for r in store.read("examples@latest").to_pylist() if r["box"]}
    moved = next(t for t in things if t["image_id"] in asked and t["x1"] >= 4 and t["y1"] >= 4)
    gone = next(t for t in things if t["image_id"] != moved["image_id"])
    empty = next(i for i in images if i not in (moved["image_id"], gone["image_id"]))
    to = [moved["x1"] - 4, moved["y1"] - 4, moved["x2"] - 4, moved["y2"] - 4]
    drawn = Box(2, 3, 40, 41)
    decided = [
        box(subject_id(moved), box=to, label="unicorn"),
        box(subject_id(gone), "reject"),
        box(box_id(empty, drawn), box=drawn.as_list(), label="kazoo"),
    ]
    record(store, decided)
    outcome = build(built.album.settings(), store)

    now = store.read("objects@latest").to_pylist()
    by_first = {subject_id(row): row for row in now}
    assert subject_id(gone) not in by_first
    found = by_first[subject_id(moved)]
    assert Box.of_row(found).as_list() == pytest.approx(to)
    assert (found["label"], found["label_origin"]) == ("unicorn", "review")
    new = by_first[box_id(empty, drawn)]
    assert (new["label"], new["detector"], new["confidence"]) == ("kazoo", "review", 1.0)
    labels = {r["object_id"]: r for r in store.read("labels@latest").to_pylist()}
    assert labels[found["object_id"]]["label"] == "unicorn"
    assert labels[new["object_id"]]["origin"] == "owner"
    vlt = boxes_of_vlt(store, moved["image_id"])
    assert any("unicorn" in prompt for at, prompt in vlt.items() if at == pytest.approx(to))
    assert all(Box.of(at) != Box.of_row(moved) for at in vlt)
    assert any("kazoo" in prompt for prompt in boxes_of_vlt(store, empty).values())
    assert {t["object_id"] for t in now} == set(
        store.read("embeddings@latest")["object_id"].to_pylist()
    )

    objects = outcome.tables["objects"]
    assert "reviews@v1" in {str(item.ref) for item in objects.inputs}
    assert objects.notes["reviews"] == {"changed": 1, "deleted": 1, "drawn": 1}
    assert outcome.dataset.notes["objects"]["reviews"]["drawn"] == 1
    assert store.read("detections@latest").num_rows == len(things)
    assert not build(built.album.settings(), store).published

    record(store, [{**row, "decision": ""} for row in decided])
    back = build(built.album.settings(), store)
    assert {n: c for n, (_, c) in contents(back).items() if n != "dataset"} == {
        n: c for n, (_, c) in contents(built.outcome).items() if n != "dataset"
    }


def test_another_label_leaves_groups_splits_and_decided_pairs(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    before = store.read("groups@latest")
    pair = next(p for p in store.read("pairs@latest").to_pylist() if p["kind"] == "positive")
    things = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    thing = things[pair["anchor_id"]]
    label = box(subject_id(thing), box=Box.of_row(thing).as_list(), label="unicorn")
    record(store, [label, box(pair["pair_id"], subject="pair")])
    build(built.album.settings(), store)
    now = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    assert now.keys() == things.keys()
    assert now[thing["object_id"]]["label"] == "unicorn"
    assert store.read("groups@latest").equals(before)
    reviewed = {p["pair_id"]: p["review"] for p in store.read("pairs@latest").to_pylist()}
    assert reviewed[pair["pair_id"]] == "accept"


def test_one_pair_is_decided_in_both_orders(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    ends = {(p["anchor_id"], p["other_id"]): p for p in store.read("pairs@latest").to_pylist()}
    first = next(p for (a, b), p in ends.items() if (b, a) in ends)
    mirrored = ends[first["other_id"], first["anchor_id"]]["pair_id"]
    record(store, [box(first["pair_id"], "reject", subject="pair")])
    build(built.album.settings(), store)
    said = {p["pair_id"]: p["review"] for p in store.read("pairs@latest").to_pylist()}
    assert (said[first["pair_id"]], said[mirrored]) == ("reject", "reject")
    assert sum(review is not None for review in said.values()) == 2
    record(store, [box(mirrored, "accept", "Ben", subject="pair")])
    build(built.album.settings(), store)
    said = {p["pair_id"]: p["review"] for p in store.read("pairs@latest").to_pylist()}
    assert {said[first["pair_id"]], said[mirrored]} == {"disputed"}


def test_decisions_on_boxes_go_out_and_in_as_csv(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    photo = store.read("images@latest")["image_id"][0].as_py()
    at = box_id(photo, Box(1, 2, 30, 40))
    decided = [
        box(at, box=[1.25, 2, 30, 40], label='a "cup", red'),
        box(at, "reject", "Ben"),
        box(at, identity="Zoë"),
        box("p", subject="pair"),
    ]
    record(store, decided)
    path = tmp_path / "decisions.csv"
    reviews_csv.export(store, path)
    other = Store.open(tmp_path / "other", create=True)
    reviews_csv.read(other, path)
    key = reviews.key_of
    assert sorted(reviews.decisions(other), key=key) == sorted(decided, key=key)
    assert reviews_csv.unknown(store, store.manifest("reviews@latest")) == ["p"]
    nowhere = box_id("nowhere", Box(1, 2, 3, 4))
    path.write_text(
        f'subject,subject_id,decision,reviewer,box\nbox,"{nowhere}",accept,Jo,"1,2,9,9"\n'
    )
    assert reviews_csv.unknown(store, reviews_csv.read(store, path)) == [nowhere, "p"]
    path.write_text(f'subject,subject_id,decision,reviewer,box\nbox,"{at}",accept,Jo,"1,2,9"\n')
    with pytest.raises(SchemaError, match=r"line 2: .* four numbers"):
        reviews_csv.read(store, path)


def test_an_import_keeps_what_others_decided(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    record(store, [box("p", subject="pair"), box("q", who="Ben", subject="pair")])
    path = tmp_path / "decisions.csv"
    path.write_text(
        "subject,subject_id,decision,reviewer,note\npair,p,,Ann,\npair,q,reject,Cem,\npair,r,,,\n"
    )
    reviews_csv.read(store, path)
    said = {reviews.key_of(row): row["decision"] for row in reviews.decisions(store)}
    assert said == {("pair", "q", "Ben"): "accept", ("pair", "q", "Cem"): "reject"}
