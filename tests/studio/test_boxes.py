"""Boxes of a photo: shown as they are decided, decided by forms, and taken back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from repic.images.coordinates import Box
from repic.pipeline import reviews
from repic.pipeline.reviews import box_id, record
from repic.pipeline.stages.reviewed import subject_id
from storage.store import Store
from tests.builds import Built, build
from tests.pipeline.test_box_reviews import box
from tests.studio.conftest import ATTACK, SCRIPT, client

HTMX = {"hx-request": "true"}


@pytest.fixture
def thing(store: Store) -> dict[str, Any]:
    """An object of the version."""
    return store.read("objects@latest").to_pylist()[0]


def address_of(thing: dict[str, Any]) -> str:
    return subject_id(thing).partition(":")[2]


def post(browser: TestClient, image_id: str, status: int = 200, **given: Any) -> str:
    reply = browser.post(f"/photos/{image_id}/boxes", data=given, headers=HTMX)
    assert reply.status_code == status, reply.text
    return reply.text


def edges(*values: float) -> dict[str, str]:
    return dict(zip(("x1", "y1", "x2", "y2"), map(str, values), strict=True))


def decided(store: Store) -> dict[tuple[str, str], reviews.Decision]:
    return {(r["subject_id"], r["reviewer"]): r for r in reviews.decisions(store)}


def test_a_box_is_moved_named_deleted_and_restored(
    browser: TestClient, store: Store, thing: dict[str, Any]
) -> None:
    photo, at = thing["image_id"], address_of(thing)
    key = subject_id(thing), "Ann"
    text = post(browser, photo, address=at, action="save", label="", **edges(1, 2, 50, 51.5))
    assert 'x="1.0" y="2.0" width="49.0" height="49.5"' in text
    assert "in the next build" in text
    assert "Ann: moved, has no label" in text
    assert decided(store)[key]["box"] == [1, 2, 50, 51.5]
    assert decided(store)[key]["label"] == ""
    text = post(browser, photo, address=at, action="save", label=" a  cup ", **edges(1, 2, 50, 52))
    assert decided(store)[key]["label"] == "a cup"
    assert "is “a cup”" in text
    text = post(browser, photo, address=at, action="delete")
    assert decided(store)[key]["decision"] == "reject"
    assert 'class="gone' in text
    assert "Restore" in text
    post(browser, photo, address=at, action="withdraw")
    assert decided(store) == {}


def test_a_label_that_nobody_changes_is_not_said(
    browser: TestClient, store: Store, thing: dict[str, Any]
) -> None:
    page = browser.get(f"/photos/{thing['image_id']}").text
    form = page[page.index(f'value="{address_of(thing)}"') :]
    label = re.findall(r'name="label" value="([^"]*)"', form)[0]
    given = {
        name: re.findall(rf'name="{name}"[^>]* value="([^"]+)"', form)[0]
        for name in ["x1", "y1", "x2", "y2"]
    }
    post(browser, thing["image_id"], address=address_of(thing), action="save", label=label, **given)
    row = decided(store)[subject_id(thing), "Ann"]
    assert row["label"] is None
    assert box_id("", Box.of(row["box"])) == f":{address_of(thing)}"


def test_a_drawn_box_is_addressed_by_its_first_edges(
    browser: TestClient, store: Store, thing: dict[str, Any]
) -> None:
    photo = thing["image_id"]
    post(browser, photo, address="", action="save", label="kazoo", **edges(3, 4, 20, 21))
    first = box_id(photo, Box(3, 4, 20, 21))
    assert decided(store)[first, "Ann"]["label"] == "kazoo"
    at = first.partition(":")[2]
    text = post(browser, photo, address=at, action="save", label="kazoo", **edges(3, 4, 30, 21))
    assert decided(store)[first, "Ann"]["box"] == [3, 4, 30, 21]
    assert text.count("kazoo") >= 2
    post(browser, photo, address=at, action="delete")
    assert decided(store) == {}, "nobody else has seen it"


def test_the_page_after_the_next_build_and_a_second_reviewer(
    built: Built, store: Store, thing: dict[str, Any]
) -> None:
    ann, photo = client(store, allow_review=True), thing["image_id"]
    post(ann, photo, address=address_of(thing), action="save", label="kazoo", **edges(2, 2, 50, 50))
    post(ann, photo, address="", action="save", label="gong", **edges(50, 50, 80, 80))
    build(built.album.settings(), store)
    text = ann.get(f"/photos/{photo}").text
    assert "in the next build" not in text
    assert "drawn by reviewers" in text
    ben = client(store, allow_review=True)
    ben.cookies.set("repic-reviewer", "Ben")
    post(ben, photo, address=address_of(thing), action="delete")
    text = ben.get(f"/photos/{photo}").text
    assert "disputed: stays as it was" in text
    assert "Agree with Ann" in text
    text = post(ben, photo, address=address_of(thing), agree="Ann")
    assert "disputed" not in text
    rows = decided(store)
    assert rows[subject_id(thing), "Ben"]["box"] == rows[subject_id(thing), "Ann"]["box"]
    record(store, [{**row, "decision": ""} for row in rows.values()])
    assert ann.get(f"/photos/{photo}").text.count("in the next build") == 2, "as before, and none"


@pytest.mark.parametrize(
    ("given", "status", "hint"),
    [
        (edges(1, 2, 1.2, 50), 409, "by a pixel or more"),
        (edges(50, 2, 1, 50), 409, "x1 is left of x2"),
        (edges(-4, 2, 1, 50), 409, "from 0 on"),
        (edges(1, 2, 5000, 50), 409, "outside of the photo of 96 by 96"),
        ({**edges(1, 2, 3, 4), "x1": "nan"}, 409, "four numbers"),
        ({**edges(1, 2, 3, 4), "x1": "1e400"}, 409, "four numbers"),
        ({**edges(1, 2, 3, 4), "x1": "1,2"}, 409, "four numbers"),
        ({"x1": "1"}, 409, "four numbers"),
        ({**edges(1, 2, 30, 40), "label": "x" * 201}, 409, "at most 200"),
        ({**edges(1, 2, 30, 40), "label": "a\u202eb"}, 409, "one line"),
        ({**edges(1, 2, 30, 40), "address": "1,2,3"}, 409, "four numbers"),
        ({**edges(1, 2, 30, 40), "address": "7,7,9,9"}, 404, "load the page again"),
        ({"action": "delete"}, 404, "saved, deleted"),
        ({"action": "burn"}, 404, "saved, deleted"),
        ({"agree": "Ben"}, 404, "gone"),
    ],
)
def test_bad_boxes_are_refused_with_a_sentence(
    browser: TestClient,
    store: Store,
    thing: dict[str, Any],
    given: dict[str, str],
    status: int,
    hint: str,
) -> None:
    said = post(browser, thing["image_id"], status, **{"action": "save", "address": "", **given})
    assert hint in said
    assert store.versions("reviews") == []
    assert post(browser, "nobody", 404, action="save", **edges(1, 2, 30, 40))


def test_only_with_leave_and_not_for_other_sites(store: Store, thing: dict[str, Any]) -> None:
    given = {"action": "save", "address": "", **edges(1, 2, 30, 40)}
    reader, path = client(store), f"/photos/{thing['image_id']}/boxes"
    assert "--allow-review" in post(reader, thing["image_id"], 403, **given)
    assert reader.post("/undo", headers=HTMX).status_code == 403
    page = reader.get(f"/photos/{thing['image_id']}").text
    assert "boxes.js" not in page
    assert 'name="action"' not in page
    writer = client(store, allow_review=True)
    for header in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        for target in (path, "/undo"):
            assert writer.post(target, data=given, headers=header).status_code in (403, 421)
    assert store.versions("reviews") == []


def test_steps_are_taken_back_one_by_one_by_who_made_them(
    browser: TestClient, store: Store, thing: dict[str, Any]
) -> None:
    photo, at = thing["image_id"], address_of(thing)
    post(browser, photo, address=at, action="save", label="cup", **edges(1, 2, 50, 50))
    post(browser, photo, address=at, action="delete")
    ben = {"cookie": "repic-reviewer=Ben", **HTMX}
    assert "nothing" in browser.post("/undo", headers=ben).json()["said"]
    reply = browser.post("/undo", headers=HTMX).json()
    assert (reply["element"], reply["path"]) == ("boxes", f"/photos/{photo}")
    assert decided(store)[subject_id(thing), "Ann"]["label"] == "cup"
    browser.post("/undo", headers=HTMX)
    assert decided(store) == {}
    assert "nothing" in browser.post("/undo", headers=HTMX).json()["said"]
    reply = browser.post("/undo", data={"back": "//evil.example"}, follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")


def test_labels_of_reviewers_are_escaped(browser: TestClient, store: Store) -> None:
    thing = store.read("objects@latest").to_pylist()[0]
    record(store, [box(subject_id(thing), who=ATTACK, box=[1, 2, 30, 40], label=ATTACK)])
    text = browser.get(f"/photos/{thing['image_id']}").text
    assert SCRIPT not in text
    assert "{{7*7}}" in text


def test_a_photo_that_a_decision_puts_between_two_splits_is_told(
    built: Built, browser: TestClient, store: Store, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    split_of = {r["group"]: r["split"] for r in store.read("groups@latest").to_pylist()}
    things = {r["image_id"]: r for r in store.read("objects@latest").to_pylist()}
    thing = next(t for t in things.values() if split_of[t["identity"]] == "train")
    stranger = next(name for name, split in split_of.items() if split == "test")
    image_id, at = thing["image_id"], Box(1, 2, 30, 20)
    drawn = box_id(image_id, at)
    record(store, [box(drawn, box=at.as_list(), label="kazoo"), box(drawn, identity=stranger)])
    assert "things of two" not in browser.get(f"/photos/{image_id}").text
    code, out, errors = repic_main(*built.album.arguments, "--store", store.location)
    assert code == 0, errors
    told = "1 photo that was reviewed shows things of two splits and gives no rows; merge"
    assert told in out
    home = browser.get("/").text
    assert f'<a href="/photos?split=none">{told}' in home
    assert image_id in browser.get("/photos?split=none").text
    page = browser.get(f"/photos/{image_id}").text
    assert "This photo is in no split" in page
    for name in (thing["identity"], stranger):
        assert re.search(rf">{re.escape(name)}</a>: {split_of[name]}</li>", page)
    record(store, [{**row, "decision": ""} for row in reviews.decisions(store)])
    code, out, errors = repic_main(*built.album.arguments, "--store", store.location)
    assert (code, "two splits" in out) == (0, False), errors
    assert "things of two" not in browser.get(f"/photos/{image_id}").text
