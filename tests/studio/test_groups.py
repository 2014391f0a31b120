"""Groups: shown with pictures, merged, split and named; builds follow."""

from __future__ import annotations

import html
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from repic.pipeline import reviews
from repic.pipeline.reviews import record
from repic.pipeline.stages.reviewed import subject_id
from storage.store import Store
from tests.builds import Built, build
from tests.pipeline.test_box_reviews import box
from tests.report import builds
from tests.studio.conftest import ATTACK, SCRIPT, Mined, client

HTMX = {"hx-request": "true"}


@pytest.fixture
def store(mined: Mined, tmp_path: Path) -> Store:
    return mined.copy(tmp_path / "store")


def groups_in(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Group -> its rows, with two objects or more."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in store.read("groups@latest").to_pylist():
        found.setdefault(row["group"], []).append(row)
    return {name: rows for name, rows in found.items() if len(rows) > 1}


def post(browser: TestClient, path: str, status: int = 200, **given: Any) -> str:
    reply = browser.post(path, data=given, headers=HTMX)
    assert reply.status_code == status, reply.text
    return reply.text


def names(store: Store) -> Counter[str]:
    """Identity -> objects that reviewers gave it."""
    return Counter(row["identity"] for row in reviews.decisions(store))


def two_splits(store: Store) -> tuple[str, str]:
    """Two mined groups of one split each, which differ."""
    of: dict[str, str] = {}
    for name, rows in groups_in(store).items():
        splits = {row["split"] for row in rows}
        if len(splits) == 1 and None not in splits:
            of.setdefault(splits.pop(), name)
    assert len(of) > 1
    return of.popitem()[1], of.popitem()[1]


@pytest.mark.slow
def test_mined_groups_are_shown_the_largest_first(browser: TestClient, store: Store) -> None:
    found = groups_in(store)
    text = browser.get("/groups").text
    shown = re.findall(r'name="group" value="([^"]+)"', text)
    assert set(shown) <= found.keys()
    sizes = [len(found[name]) for name in shown]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) > 20
    assert "No group fits" in browser.get("/groups?origin=label").text
    assert "No group fits" in browser.get("/groups?page=900").text
    name, rows = next(iter(found.items()))
    one = browser.get("/groups/one", params={"group": name}).text
    assert all(f"/crops/{row['object_id']}/256.jpg" in one for row in rows)
    assert browser.get("/groups/one?group=nobody").status_code == 404


def test_merged_groups_are_one_identity_of_one_split(
    browser: TestClient, store: Store, mined: Mined
) -> None:
    one, other = two_splits(store)
    before = groups_in(store)
    members = {row["object_id"] for name in (one, other) for row in before[name]}
    text = post(browser, "/groups/name", group=[one, other], name=" Rex  the dog ")
    assert "Rex the dog" in text
    assert "in the next build" in text
    assert names(store) == {"Rex the dog": len(members)}
    outcome = build(mined.settings, store)
    rows = [row for row in store.read("groups@latest").to_pylist() if row["group"] == "Rex the dog"]
    assert members <= {row["object_id"] for row in rows}
    assert len({row["split"] for row in rows if row["split"]}) == 1
    things = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    assert {things[id_]["identity"] for id_ in members} == {"Rex the dog"}
    assert {things[id_]["identity_origin"] for id_ in members} == {"review"}
    pairs = [p for p in store.read("pairs@latest").to_pylist() if p["anchor_id"] in members]
    assert all(p["kind"] == "positive" for p in pairs if p["other_id"] in members)
    assert any(p["kind"] == "positive" and p["origin"] == "label" for p in pairs)
    assert outcome.tables["objects"].notes["reviews"] == {"named": len(members)}
    text = browser.get("/groups?origin=label").text
    assert "Rex the dog" in text
    assert "in the next build" not in text


def test_a_split_group_is_two(browser: TestClient, store: Store, mined: Mined) -> None:
    name, rows = max(groups_in(store).items(), key=lambda item: len(item[1]))
    chosen = [row["object_id"] for row in rows[: len(rows) // 2]]
    rest = {row["object_id"] for row in rows} - set(chosen)
    post(browser, "/groups/split", group=name, member=chosen, name="Rex", rest="Max", back=name)
    assert names(store) == {"Rex": len(chosen), "Max": len(rest)}
    build(mined.settings, store)
    of = {row["object_id"]: row["group"] for row in store.read("groups@latest").to_pylist()}
    assert {of[id_] for id_ in chosen} == {"Rex"}
    assert {of[id_] for id_ in rest} == {"Max"}
    both = {
        frozenset((p["anchor_id"], p["other_id"])): p
        for p in store.read("pairs@latest").to_pylist()
    }
    for ends, pair in both.items():
        if len(ends & set(chosen)) == 1 and len(ends & rest) == 1:
            assert pair["kind"] == "negative"


@pytest.mark.parametrize("path", ["/groups?origin=label", "/groups/one?group={name}"])
def test_a_page_decides_on_what_it_shows(path: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    content = builds.rows(tmp_path / "photos", identities=4)
    builds.publish(store, content)
    name = content.objects[0]["identity"]
    browser = client(store, allow_review=True)
    text = browser.get(path.format(name=name)).text
    (action,) = set(re.findall(r'hx-post="(/groups/name[^"]*)"', text))
    shown = sum(row["identity"] == name for row in content.objects)
    content.objects[-1]["identity"] = name
    builds.publish(store, content)  # meanwhile: another object is in the group
    post(browser, html.unescape(action), group=name, name="Rex")
    assert names(store) == {"Rex": shown}


def test_names_that_nobody_gives(browser: TestClient, store: Store) -> None:
    one, other, third = sorted(groups_in(store))[:3]
    post(browser, "/groups/name", group=[one, other])
    (name,) = names(store)
    assert re.fullmatch(r"group-\w{8}", name)
    post(browser, "/groups/name", group=[one, third])
    assert set(names(store)) == {name}, "a merged group keeps its name"
    browser.post("/undo", headers=HTMX)
    browser.post("/undo", headers=HTMX)
    rows = groups_in(store)[third]
    post(browser, "/groups/split", group=third, member=rows[0]["object_id"], back=third)
    assert len(names(store)) == 2


def test_steps_are_taken_back(browser: TestClient, store: Store) -> None:
    one, other = sorted(groups_in(store))[:2]
    post(browser, "/groups/name", group=one, name="Rex")
    post(browser, "/groups/name", group=[one, other], name="Max")
    assert browser.post("/undo", headers=HTMX).json()["element"] == "groups"
    assert set(names(store)) == {"Rex"}
    text = browser.get("/groups/one", params={"group": one}).text
    assert "Rex:" in text
    post(browser, "/groups/withdraw", group=one, back=one)
    assert reviews.decisions(store) == []
    assert "There is nothing" not in browser.post("/undo", headers=HTMX).text
    assert set(names(store)) == {"Rex"}


def test_two_reviewers_at_once_lose_nothing(mined: Mined, tmp_path: Path) -> None:
    store = mined.copy(tmp_path / "other")
    found = groups_in(store)
    one, other = sorted(found)[:2]
    ann, ben = client(store, allow_review=True), client(store, allow_review=True)
    ben.cookies.set("repic-reviewer", "Ben")
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(post, ann, "/groups/name", group=one, name="Rex"),
            pool.submit(post, ben, "/groups/name", group=one, name="Max"),
        ]
        for call in calls:
            call.result()
    post(ann, "/groups/name", group=other, name="Tom")
    assert names(store) == {
        "Rex": len(found[one]),
        "Max": len(found[one]),
        "Tom": len(found[other]),
    }
    text = ann.get("/groups/one", params={"group": one}).text
    assert f"{len(found[one])} objects disputed" in text
    assert build(mined.settings, store).published
    things = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    assert {things[row["object_id"]]["identity"] for row in found[one]} == {None}
    assert {things[row["object_id"]]["identity"] for row in found[other]} == {"Tom"}


@pytest.mark.parametrize(
    ("path", "given", "status", "hint"),
    [
        ("name", {"group": "nobody", "name": "Rex"}, 404, "no such group"),
        ("name", {"name": "Rex"}, 404, "no such group"),
        ("name", {"group": "ONE"}, 409, "two groups or more"),
        ("name", {"group": "ONE", "name": "x" * 300}, 409, "at most 200"),
        ("name", {"group": "ONE", "name": "a\u202eb"}, 409, "one line"),
        ("split", {"group": "ONE"}, 409, "some of the objects"),
        (
            "split",
            {"group": "ONE", "member": "M", "name": "R", "rest": "R"},
            409,
            "another name",
        ),
        ("split", {"group": "nobody"}, 404, "no such group"),
        ("withdraw", {"group": "nobody"}, 404, "no such group"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(
    browser: TestClient, store: Store, path: str, given: dict[str, Any], status: int, hint: str
) -> None:
    name, rows = next(iter(groups_in(store).items()))
    known = {"ONE": name, "M": rows[0]["object_id"]}
    meant = {key: known.get(value, value) for key, value in given.items()}
    assert hint in post(browser, f"/groups/{path}", status, **meant)
    assert store.versions("reviews") == []


def test_only_with_leave_and_not_for_other_sites(store: Store) -> None:
    name = next(iter(groups_in(store)))
    given = {"group": name, "name": "Rex"}
    assert "--allow-review" in post(client(store), "/groups/name", 403, **given)
    assert 'type="checkbox"' not in client(store).get("/groups").text
    writer = client(store, allow_review=True)
    reply = writer.post("/groups/name", data=given, headers={"origin": "https://evil.example"})
    assert reply.status_code == 403
    assert store.versions("reviews") == []


def test_names_are_escaped(browser: TestClient, store: Store) -> None:
    name, rows = next(iter(groups_in(store).items()))
    things = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    decided = [
        box(subject_id(things[row["object_id"]]), identity=ATTACK, who=ATTACK) for row in rows
    ]
    record(store, decided)
    for path in ("/groups", f"/groups/one?group={name}"):
        text = browser.get(path).text
        assert SCRIPT not in text
        assert "{{7*7}}" in text


def test_identities_of_labels_are_groups(built: Built, tmp_path: Path) -> None:
    browser = client(built.copy(tmp_path / "labelled"), allow_review=True)
    text = browser.get("/groups?origin=label").text
    assert text.count("<article") > 3


def test_where_all_is_labelled_identities_are_shown(built: Built) -> None:
    text = client(built.store).get("/groups").text
    assert '<option value="any" selected>' in text
    assert "No group fits" not in text
    assert "No group fits" in client(built.store).get("/groups?origin=mined").text
