"""Photos: the grid, a photo, the quarantine."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from repic.studio.pages import photos as page
from storage.store import Store
from tests.studio.conftest import client


def every(browser: TestClient, path: str) -> list[str]:
    """Photos of a page and all that follow."""
    found: list[str] = []
    while path:
        text = browser.get(path).text
        found += re.findall(r'class="tile" data-item href="/photos/(\w+)', text)
        after = re.findall(r'rel="next" href="([^"]+)"', text)
        path = after[0].replace("&amp;", "&") if after else ""
    return found


def test_all_photos_in_pages(
    browser: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SIZE", 7)
    rows = store.read("images@latest").sort_by("uri").to_pylist()
    assert every(browser, "/photos") == [row["image_id"] for row in rows]
    text = browser.get("/photos").text
    after = re.findall(r'rel="next" href="([^"]+)"', text)[0].replace("&amp;", "&")
    before = re.findall(r'rel="prev" href="([^"]+)"', browser.get(after).text)[0]
    back = browser.get(before.replace("&amp;", "&")).text
    assert re.findall(r"/photos/(\w{32})", back) == re.findall(r"/photos/(\w{32})", text)


def test_filters(browser: TestClient, store: Store) -> None:
    things = store.read("objects@latest").to_pylist()
    name = things[0]["identity"]
    assert set(every(browser, f"/photos?identity={name}")) == {
        t["image_id"] for t in things if t["identity"] == name
    }
    labels = {row["object_id"]: row["label"] for row in store.read("labels@latest").to_pylist()}
    label = next(label for label in labels.values() if label)
    assert set(every(browser, f"/photos?label={label}")) == {
        t["image_id"] for t in things if labels[t["object_id"]] == label
    }
    groups = store.read("groups@latest").to_pylist()
    assert set(every(browser, "/photos?split=test")) == {
        g["image_id"] for g in groups if g["split"] == "test"
    }
    assert every(browser, "/photos?source=nothing") == []


def test_a_photo_with_its_boxes_pairs_and_examples(browser: TestClient, store: Store) -> None:
    examples = store.read("examples@latest").to_pylist()
    image_id = examples[0]["image_id"]
    things = [t for t in store.read("objects@latest").to_pylist() if t["image_id"] == image_id]
    pairs = [
        p
        for p in store.read("pairs@latest").to_pylist()
        if image_id in (p["anchor_image_id"], p["other_image_id"])
    ]
    text = browser.get(f"/photos/{image_id}").text
    first = text[: text.index("<h2>Pairs")]
    assert first.count("<rect") == len(things) + 1, "and a new one"
    assert all(f"/crops/{thing['object_id']}/" in first for thing in things)
    both = {frozenset((p["anchor_id"], p["other_id"])) for p in pairs}
    assert f"{len(both)} pair" in text
    own = [e for e in examples if e["image_id"] == image_id][: page.MOST_EXAMPLES]
    assert all(f"/examples/{e['example_id']}" in text for e in own)
    assert browser.get("/photos/nobody").status_code == 404


def test_the_quarantine_says_why(hostile: Store) -> None:
    text = client(hostile).get("/photos?quarantine=yes").text
    assert "1 input refused by images" in text
    assert "repic quarantine retry" in text
