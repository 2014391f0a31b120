"""Boxes of a photo in a real browser: with a mouse, a finger and keys."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from repic.images.coordinates import Box
from repic.pipeline import reviews
from repic.pipeline.stages.reviewed import subject_id
from storage.store import Store
from tests.builds import Built, build
from tests.pipeline.test_box_reviews import boxes_of_vlt
from tests.studio.chromium import MARKS, SCREENS, check_access, served, until, visit, wait_until

pytestmark = MARKS


def asked(store: Store, but: Collection[str] = ()) -> dict[str, Any]:
    """An object that a VLT row asks for, alone in its photo, and none of those."""
    boxes = {
        (row["image_id"], tuple(row["box"]))
        for row in store.read("examples@latest").to_pylist()
        if row["objective"] == "vlt"
    }
    things = store.read("objects@latest").to_pylist()
    counts = [thing["image_id"] for thing in things]
    return next(
        thing
        for thing in things
        if (thing["image_id"], tuple(Box.of_row(thing).as_list())) in boxes
        and counts.count(thing["image_id"]) == 1
        and thing["object_id"] not in but
        and thing["x1"] > 12
        and thing["y1"] > 12
    )


def decided(store: Store) -> list[reviews.Decision]:
    return sorted(reviews.decisions(store), key=reviews.key_of)


def drag(
    page: Any, photo: dict[str, Any], start: tuple[float, float], end: tuple[float, float]
) -> None:
    """Press at a point of the photo, in its pixels, and let go at another."""
    shown = page.locator(".editor svg").bounding_box()
    across, down = shown["width"] / photo["width"], shown["height"] / photo["height"]
    (x, y), (to_x, to_y) = start, end
    page.mouse.move(shown["x"] + x * across, shown["y"] + y * down)
    page.mouse.down()
    page.mouse.move(shown["x"] + to_x * across, shown["y"] + to_y * down, steps=4)
    page.mouse.up()


def saved(page: Any) -> None:
    wait_until(page, "() => document.getElementById('status').textContent.startsWith('Saved')")


def test_boxes_by_mouse_and_keys_and_vlt_follows(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    store = built.copy(tmp_path / "store")
    thing = asked(store)
    images = {row["image_id"]: row for row in store.read("images@latest").to_pylist()}
    photo = images[thing["image_id"]]
    box = Box.of_row(thing)
    center = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    with served(store) as url, visit(chromium) as (page, console):
        page.goto(f"{url}/photos/{photo['image_id']}")
        drag(page, photo, center, (center[0] - 6, center[1] - 7))
        saved(page)
        (row,) = decided(store)
        assert row["box"] == pytest.approx(box.shift(-6, -7).as_list(), abs=0.5)
        assert row["label"] is None
        # The lower right corner of the current box.
        moved = Box.of(row["box"])
        drag(page, photo, (moved.x2, moved.y2), (moved.x2 - 5, moved.y2 - 4))
        saved(page)
        resized = Box.of(decided(store)[0]["box"])
        assert resized.x1 == pytest.approx(moved.x1)
        assert resized.x2 == pytest.approx(moved.x2 - 5, abs=0.5)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
        assert decided(store)[0]["box"] == pytest.approx(resized.as_list()), "not before Enter"
        page.keyboard.press("Enter")
        saved(page)
        nudged = decided(store)[0]["box"]
        assert nudged[0] == pytest.approx(resized.x1 + 1, abs=0.01)
        assert nudged[3] == pytest.approx(resized.y2 + 1, abs=0.01)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Escape")
        assert page.input_value("li.current input[name=x1]") == f"{nudged[0]:.2f}".rstrip(
            "0"
        ).rstrip(".")
        page.keyboard.press("l")
        page.keyboard.press("Control+A")
        page.keyboard.type("unicorn")
        page.keyboard.press("Enter")
        until(lambda: decided(store)[0]["label"] == "unicorn")
        page.wait_for_selector("#boxes input[value=unicorn]")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        until(lambda: decided(store)[0]["decision"] == "reject")
        page.wait_for_selector("#boxes rect.gone")
        page.keyboard.press("z")
        until(lambda: decided(store)[0]["decision"] == "accept")
        page.wait_for_selector("#boxes input[value=unicorn]")
        # In another photo: a photo whose objects belong to two splits gives no rows.
        other = next(row for row in images.values() if row["image_id"] != photo["image_id"])
        page.goto(f"{url}/photos/{other['image_id']}")
        draw(page, other, store)
        assert console == []
    final = Box.of(next(r for r in decided(store) if r["label"] == "unicorn")["box"])
    assert any(Box.of(at) == box for at in boxes_of_vlt(store, photo["image_id"]))
    outcome = build(built.album.settings(), store)
    vlt = {Box.of(at): prompt for at, prompt in boxes_of_vlt(store, photo["image_id"]).items()}
    assert "unicorn" in vlt[final]
    assert box not in vlt
    latest = store.manifest("reviews@latest")
    assert str(latest.ref) in {str(i.ref) for i in outcome.tables["objects"].inputs}
    by_first = {subject_id(row): row for row in store.read("objects@latest").to_pylist()}
    assert {row["subject_id"] for row in decided(store)} <= by_first.keys()
    assert final in map(Box.of_row, by_first.values())


def draw(page: Any, photo: dict[str, Any], store: Store) -> None:
    """A new box with a label, from the upper left corner, after `b`."""
    page.keyboard.press("b")
    page.wait_for_selector("#boxes.drawing")
    drag(page, photo, (1, 1), (30, 9))
    page.keyboard.type("kazoo")
    page.keyboard.press("Enter")
    until(lambda: len(decided(store)) == 2)
    row = next(r for r in decided(store) if r["label"] == "kazoo")
    assert row["box"] == pytest.approx([1, 1, 30, 9], abs=0.5)
    page.wait_for_selector("#boxes input[value=kazoo]")


def test_a_finger_selects_then_moves_and_the_page_holds_on_a_phone(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    store = built.copy(tmp_path / "store")
    thing = asked(store)
    box = Box.of_row(thing)
    options = {"viewport": {"width": 360, "height": 800}, "has_touch": True, "color_scheme": "dark"}
    with served(store) as url, visit(chromium, **options) as (page, console):
        page.goto(f"{url}/photos/{thing['image_id']}")
        page.wait_for_load_state("load")
        touch = page.context.new_cdp_session(page)
        shown = page.locator(".editor svg").bounding_box()
        scale = shown["width"] / page.locator(".editor svg").evaluate(
            "s => s.viewBox.baseVal.width"
        )
        x = shown["x"] + (box.x1 + box.x2) / 2 * scale
        y = shown["y"] + (box.y1 + box.y2) / 2 * scale
        page.touchscreen.tap(x, y)
        page.wait_for_selector("#boxes li.current")
        assert decided(store) == []
        points = [{"x": x - step * scale, "y": y} for step in (0, 3, 6, 9)]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
        for point in points[1:]:
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        until(lambda: len(decided(store)) == 1)
        assert decided(store)[0]["box"][0] == pytest.approx(box.x1 - 9, abs=1)
        page.wait_for_selector("#boxes rect.pending")
        beyond = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert beyond <= 0
        check_access(axe, page, "boxes")
        assert console == []


def test_a_box_that_is_not_saved_is_told(built: Built, tmp_path: Path, chromium: Any) -> None:
    store = built.copy(tmp_path / "store")
    thing = asked(store)
    scheme, width = SCREENS[0]
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with served(store) as url, visit(chromium, **options) as (page, _):
        page.goto(f"{url}/photos/{thing['image_id']}")
        page.click("#boxes li[data-box='0'] summary")
        page.fill("#boxes li[data-box='0'] input[name=x2]", "4000")
        page.click("#boxes li[data-box='0'] button[value=save]")
        page.wait_for_selector(".status.bad")
        assert "outside of the photo" in page.text_content("#status")
        assert decided(store) == []
