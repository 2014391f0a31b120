"""A new user's first day in a real browser: 158 real photos, one command, a reviewed data set."""

from __future__ import annotations

from collections.abc import Collection, Set
from pathlib import Path
from typing import Any

import pytest

from repic.images.coordinates import Box
from repic.pipeline import reviews
from repic.pipeline.reviews import parse_box_id
from repic.pipeline.stages.reviewed import subject_id
from storage.store import Store
from tests import real_photos
from tests.builds import keyed
from tests.flows.up import new_user
from tests.installed import Installed, installed
from tests.pipeline.test_box_reviews import boxes_of_vlt
from tests.reader import Reader
from tests.studio.chromium import MARKS, until, visit, wait_until
from tests.studio.test_browser import current, decided
from tests.studio.test_browser_boxes import asked, saved
from tests.test_docs import DOCS

__all__ = ["installed"]

pytestmark = [
    *MARKS,
    pytest.mark.skipif(real_photos.REAL is None, reason="no real photos beside the clone"),
]

BUILD = "repic build --images photos"
STUDIO = "repic studio --allow-review"
SIDE = 224
KEYS = ("y", "n", "y", "y", "n", "y", "n", "y")


def test_158_photos_become_a_reviewed_dataset(
    installed: Installed, tmp_path: Path, chromium: Any
) -> None:
    tutorial = (DOCS / "tutorial.md").read_text()
    assert f"    {BUILD}\n" in tutorial
    assert f"    {STUDIO}\n" in tutorial
    reader = Reader(installed, tmp_path / "work", installed.variables(new_user(tmp_path / "user")))
    real_photos.write(reader.folder / "photos", SIDE)
    reader.run(BUILD)
    store = Store.open(reader.folder / "repic-store")
    with reader.serving(STUDIO) as port, visit(chromium) as (page, console):
        page.goto(f"http://127.0.0.1:{port}/")
        holds = page.inner_text("section[aria-labelledby=holds]")
        assert f"{real_photos.COUNT} photos" in " ".join(holds.split())
        pairs = decide_pairs(page, store)
        busy = objects_of(store, pairs)
        members = name_an_identity(page, store, busy)
        corrected = correct_a_box(page, store, busy | members)
        press(page, "g", "h")
        page.wait_for_url(f"**:{port}/")
        assert f"{len(pairs)} decisions are not in this version" in page.inner_text("#main")
        reader.run(BUILD)  # the studio runs on
        page.reload()
        page.wait_for_selector("h1:has-text('dataset@v2')")
        assert "not in this version" not in page.inner_text("#main")
        assert f"{len(pairs)} pairs decided" in " ".join(page.inner_text("#main").split())
        assert console == []
    check_what_was_built(store, pairs, members, corrected)


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def decide_pairs(page: Any, store: Store) -> dict[str, str]:
    """From home to the pairs; decide the first ones, which are doubtful, by keys."""
    press(page, "g", "p")
    page.wait_for_url("**/pairs")
    said: dict[str, str] = {}
    for key in KEYS:
        pair = current(page)
        said[pair] = {"y": "accept", "n": "reject"}[key]
        page.keyboard.press(key)
        wait_until(
            page,
            "before => document.querySelector('[data-item].current').dataset.pair !== before",
            arg=pair,
        )
    until(lambda: decided(store) == said)
    return said


def objects_of(store: Store, pairs: Collection[str]) -> set[str]:
    """Both objects of each pair."""
    table = keyed(store.read("pairs@latest"), "pairs")
    return {table[pair,][end] for pair in pairs for end in ("anchor_id", "other_id")}


def name_an_identity(page: Any, store: Store, busy: Set[str]) -> set[str]:
    """A folder without busy objects gets the name of what it shows; its objects."""
    groups: dict[str, set[str]] = {}
    for row in store.read("groups@latest").to_pylist():
        groups.setdefault(row["group"], set()).add(row["object_id"])
    press(page, "g", "g")
    page.wait_for_url("**/groups")
    page.select_option("[data-filters] select[name=origin]", "label")
    page.wait_for_url("**origin=label**")
    shown = page.eval_on_selector_all("input[name=group]", "all => all.map(i => i.value)")
    name = next(name for name in shown if not groups[name] & busy)
    page.check(f"input[name=group][value='{name}']")
    press(page, "m", *"Rex", "Enter")
    until(lambda: len(of_subject(store, "identity")) == len(groups[name]))
    page.wait_for_selector("#groups .chip.accept:has-text('Rex')")
    page.keyboard.press("Escape")
    return groups[name]


def correct_a_box(page: Any, store: Store, busy: Set[str]) -> reviews.Decision:
    """From the photos to one whose object a VLT row asks for; its box is moved by keys."""
    thing = asked(store, busy)
    press(page, "g", "o")
    page.wait_for_url("**/photos")
    page.fill("[data-filters] input[name=identity]", thing["identity"])
    page.keyboard.press("Enter")
    page.wait_for_url("**identity=**")
    page.click(f"a[href^='/photos/{thing['image_id']}']")
    page.wait_for_selector("#boxes")
    press(page, "j", "ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowUp", "Enter")
    saved(page)
    (row,) = of_subject(store, "box")
    assert row["subject_id"] == subject_id(thing)
    assert row["box"] != Box.of_row(thing).as_list()
    return row


def of_subject(store: Store, subject: str) -> list[reviews.Decision]:
    return [row for row in reviews.decisions(store) if row["subject"] == subject]


def check_what_was_built(
    store: Store, pairs: dict[str, str], members: set[str], corrected: reviews.Decision
) -> None:
    """Manifests, tables and examples of the second version have every decision."""
    bound = {item.name: store.manifest(item.ref) for item in store.manifest("dataset@v2").inputs}
    latest = str(store.manifest("reviews@latest").ref)
    for name in ("objects", "pairs"):
        assert latest in {str(item.ref) for item in bound[name].inputs}
    assert bound["objects"].notes["reviews"] == {"changed": 1, "named": len(members)}
    table = keyed(store.read(bound["pairs"].ref), "pairs")
    assert {pair: table[pair,]["review"] for pair in pairs} == pairs
    used = {p for ids in store.read("examples@latest")["pair_ids"].to_pylist() for p in ids}
    assert not used & {pair for pair, said in pairs.items() if said == "reject"}
    assert used & {pair for pair, said in pairs.items() if said == "accept"}
    objects = keyed(store.read(bound["objects"].ref), "objects")
    assert {objects[id_,]["identity"] for id_ in members} == {"Rex"}
    assert (
        len({r["split"] for r in store.read("groups@v2").to_pylist() if r["group"] == "Rex"}) == 1
    )
    image_id, before = parse_box_id(corrected["subject_id"])
    asked_for = [Box.of(at) for at in boxes_of_vlt(store, image_id)]
    assert Box.of(corrected["box"]) in asked_for
    assert before not in asked_for
