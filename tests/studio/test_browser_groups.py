"""Groups in a real browser: merged and split by keys, in light and dark, on a desk and a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repic.pipeline import reviews
from tests.builds import build
from tests.studio.chromium import MARKS, SCREENS, check_access, served, until, visit, wait_until
from tests.studio.conftest import Mined
from tests.studio.test_groups import names, two_splits

pytestmark = MARKS


def test_merged_by_keys_the_split_follows_and_a_split_is_taken_back(
    mined: Mined, tmp_path: Path, chromium: Any
) -> None:
    store = mined.copy(tmp_path / "store")
    chosen = two_splits(store)
    of = {row["object_id"]: row["group"] for row in store.read("groups@latest").to_pylist()}
    members = {id_ for id_, group in of.items() if group in chosen}
    with served(store) as url, visit(chromium) as (page, console):
        page.goto(f"{url}/groups")
        cards = page.locator("[data-item]").count()
        for _ in range(cards):
            page.keyboard.press("j")
            card = page.locator("[data-item].current")
            if card.locator("input[name=group]").input_value() in chosen:
                page.keyboard.press("x")
        assert page.locator("input[name=group]:checked").count() == 2
        page.keyboard.press("m")
        page.keyboard.type("Rex")
        page.keyboard.press("Enter")
        until(lambda: names(store) == {"Rex": len(members)})
        page.wait_for_selector("#groups .chip.accept")
        page.keyboard.press("Escape")
        page.keyboard.press("z")
        until(lambda: reviews.decisions(store) == [])
        wait_until(page, "() => !document.querySelector('#groups .chip.accept')")
        for group in chosen:
            page.check(f"input[name=group][value='{group}']")
        page.keyboard.press("m")  # the box that was checked has the focus
        page.keyboard.type("Rex")
        page.keyboard.press("Enter")
        until(lambda: names(store) == {"Rex": len(members)})
        largest = page.locator("[data-item] a[data-open]").first.get_attribute("href")
        page.goto(url + largest)
        page.check("input[name=member] >> nth=0")
        page.fill("#groups form[action*=split] input[name=name]", "Max")
        page.keyboard.press("Enter")
        until(lambda: names(store)["Max"] == 1)
        page.wait_for_selector("#groups .chip.accept")
        page.click("[data-undo]")
        until(lambda: names(store) == {"Rex": len(members)})
        assert console == []
    build(mined.settings, store)
    rows = store.read("groups@latest").to_pylist()
    together = [row for row in rows if row["object_id"] in members]
    assert {row["group"] for row in together} == {"Rex"}
    assert len({row["split"] for row in together if row["split"]}) == 1


def test_groups_in_light_and_dark_on_a_desk_and_a_phone(
    mined: Mined, tmp_path: Path, chromium: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    store = mined.copy(tmp_path / "store")
    one = two_splits(store)[0]
    with served(store) as url:
        for scheme, width in SCREENS:
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            with visit(chromium, **options) as (page, console):
                for path in ("/groups", f"/groups/one?group={one}"):
                    page.goto(url + path)
                    page.wait_for_load_state("load")
                    beyond = page.evaluate(
                        "document.documentElement.scrollWidth - window.innerWidth"
                    )
                    assert beyond <= 0, (path, scheme, width)
                    if (scheme, width) in (SCREENS[0], SCREENS[-1]):
                        check_access(axe, page, path)
                    assert console == [], (path, scheme, width)
