"""The studio in a real browser: by keys, in light and dark, on a phone, with axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repic.pipeline import reviews
from repic.studio.pages import PAGES
from storage.store import Store
from tests.builds import Built, build, keyed
from tests.studio.chromium import MARKS, SCREENS, check_access, served, until, visit, wait_until

pytestmark = MARKS


def paths(store: Store) -> list[str]:
    """Every kind of page."""
    photo = store.read("images@latest", ["image_id"])["image_id"][0].as_py()
    pair = store.read("pairs@latest", ["pair_id"])["pair_id"][0].as_py()
    examples = {
        row["objective"]: row["example_id"]
        for row in store.read("examples@latest", ["objective", "example_id"]).to_pylist()
    }
    return [
        *(page.PATH for page in PAGES),
        f"/photos/{photo}",
        f"/pairs/{pair}",
        *(f"/examples/{example}" for example in examples.values()),
        "/photos?quarantine=yes",
        "/pairs?review=decided",
    ]


def test_every_page_in_light_and_dark_on_a_desk_and_a_phone(built: Built, chromium: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    store = built.store
    with served(store) as url:
        for scheme, width in SCREENS:
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            with visit(chromium, **options) as (page, console):
                for path in paths(store):
                    page.goto(url + path)
                    page.wait_for_load_state("load")
                    beyond = page.evaluate(
                        "document.documentElement.scrollWidth - window.innerWidth"
                    )
                    assert beyond <= 0, (path, scheme, width)
                    assert console == [], (path, scheme, width)
                    if (scheme, width) in (SCREENS[0], SCREENS[-1]):
                        check_access(axe, page, path)
                    shown = "all => all.every(i => !i.complete || i.naturalWidth > 0)"
                    assert page.eval_on_selector_all("img", shown), path


def test_twenty_pairs_by_keys_and_the_next_build_honors_them(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    store = built.copy(tmp_path / "store")
    keys = ("y", "n", "n", "y", "n")
    expected: dict[str, str] = {}
    with served(store) as url, visit(chromium) as (page, console):
        page.goto(f"{url}/pairs")
        while len(expected) < 20:
            pair = current(page)
            assert pair not in expected
            key = keys[len(expected) % len(keys)]
            expected[pair] = {"y": "accept", "n": "reject"}[key]
            page.keyboard.press(key)
            wait_until(
                page,
                "before => { const now = document.querySelector('[data-item].current');"
                " return now && now.dataset.pair !== before; }",
                arg=pair,
            )
        until(lambda: decided(store) == expected)
        page.keyboard.press("u")
        until(lambda: len(decided(store)) == 21)
        page.keyboard.press("z")
        until(lambda: decided(store) == expected)
        assert console == []
    outcome = build(built.album.settings(), store)
    pairs = keyed(store.read(outcome.tables["pairs"].ref), "pairs")
    assert {pair: pairs[pair,]["review"] for pair in expected} == expected
    both = {frozenset((pairs[p,]["anchor_id"], pairs[p,]["other_id"])) for p in expected}
    assert len(both) == 20, "no two objects are asked about twice"
    latest = store.manifest("reviews@latest")
    assert latest.rows == 20
    assert str(latest.ref) in {str(i.ref) for i in outcome.tables["pairs"].inputs}
    used = {p for ids in store.read("examples@latest")["pair_ids"].to_pylist() for p in ids}
    assert not used & {pair for pair, said in expected.items() if said == "reject"}


def current(page: Any) -> str:
    return page.wait_for_selector("[data-item].current").get_attribute("data-pair")


def decided(store: Store) -> dict[str, str]:
    return {row["subject_id"]: row["decision"] for row in reviews.decisions(store)}


def test_two_reviewers_in_two_browsers(built: Built, tmp_path: Path, chromium: Any) -> None:
    store = built.copy(tmp_path / "store")
    with (
        served(store) as url,
        visit(chromium) as (ann, _),
        visit(chromium) as (ben, _),
    ):
        ben.goto(f"{url}/pairs")
        ben.fill("input[name=name]", "Ben")
        ben.click(".who button")
        ben.wait_for_selector("input[name=name][value=Ben]")
        ann.goto(f"{url}/pairs")
        for n in range(5):
            for page, key in ((ann, "y"), (ben, "n")):
                page.keyboard.press(key)
                wait_until(
                    page,
                    "n => document.querySelectorAll('[data-own=accept], [data-own=reject]').length"
                    " > n",
                    arg=n,
                )
        rows = reviews.decisions(store)
        assert sorted(r["reviewer"] for r in rows) == ["Ann"] * 5 + ["Ben"] * 5
        ann.goto(f"{url}/pairs?review=disputed")
        assert ann.locator("[data-item]").count() == 5


def test_a_decision_that_is_not_saved_is_told(built: Built, tmp_path: Path, chromium: Any) -> None:
    store = built.copy(tmp_path / "store")
    with served(store) as url, visit(chromium) as (page, _):
        page.context.route("**/decision*", lambda route: route.abort())
        page.goto(f"{url}/pairs")
        page.keyboard.press("y")
        page.wait_for_selector(".status.bad")
        assert "Not saved" in page.text_content("#status")
        assert decided(store) == {}


def hold_decisions(page: Any) -> list[Any]:
    """Requests that wait for `continue_`. Call it before `goto`: a page that is open already may
    still send one past a new route."""
    held: list[Any] = []
    page.context.route("**/decision*", lambda route: held.append(route))
    return held


def test_a_decision_on_a_pair_that_is_being_saved_is_told(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    store = built.copy(tmp_path / "store")
    with served(store) as url, visit(chromium) as (page, _):
        held = hold_decisions(page)
        page.goto(f"{url}/pairs")
        page.keyboard.press("y")
        page.keyboard.press("k")
        page.wait_for_selector("form.htmx-request")
        page.keyboard.press("n")
        page.wait_for_selector(".status.bad")
        assert "decide again" in page.text_content("#status")
        page.locator("form.htmx-request button[data-key=n]").click()
        assert len(held) == 1
        held[0].continue_()
        page.wait_for_selector("[data-own=accept]")
        assert list(decided(store).values()) == ["accept"]


def test_a_decision_is_taken_back_while_it_is_being_saved(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    store = built.copy(tmp_path / "store")
    with served(store) as url, visit(chromium) as (page, console):
        held = hold_decisions(page)
        page.goto(f"{url}/pairs")
        pair = current(page)
        page.keyboard.press("y")
        page.keyboard.press("z")
        until(lambda: page.query_selector("form.htmx-request") and len(held) == 1)
        held[0].continue_()
        wait_until(page, "() => document.getElementById('status').textContent.includes('Took')")
        assert decided(store) == {}
        page.wait_for_selector(f"#pair-{pair}.current[data-own='']")
        card = page.locator(f"#pair-{pair}")
        assert card.locator("[aria-pressed=true]").count() == 0
        assert console == []


def test_nobody_takes_back_what_another_decided(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    store = built.copy(tmp_path / "store")
    with served(store) as url, visit(chromium) as (page, _):
        page.goto(f"{url}/pairs")
        page.keyboard.press("y")
        until(lambda: len(decided(store)) == 1)
        page.fill("input[name=name]", "Ben")
        page.click(".who button")
        page.wait_for_selector("input[name=name][value=Ben]")
        page.keyboard.press("z")
        wait_until(
            page, "document.getElementById('status').textContent.includes('nothing to take back')"
        )
        assert {row["reviewer"] for row in reviews.decisions(store)} == {"Ann"}


def test_the_reward_of_a_typed_text_and_a_query(built: Built, chromium: Any) -> None:
    store = built.store
    row = next(r for r in store.read("examples@latest").to_pylist() if r["objective"] == "oct")
    with served(store, allow_review=False) as url, visit(chromium) as (page, console):
        page.goto(f"{url}/examples/{row['example_id']}")
        page.fill("#typed", row["answer"])
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#score table")
        assert "1.000" in page.text_content("#score")
        wait_until(page, "!document.getElementById('status').textContent")  # no "Saved"
        page.goto(f"{url}/sql")
        page.fill("#q", "select '<b>x' as a")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#result table")
        assert page.text_content("#result td") == "<b>x"
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("p")
        page.wait_for_url("**/pairs")
        page.keyboard.press("g")
        page.keyboard.press("o")
        page.wait_for_url("**/photos")
        page.keyboard.press("?")
        assert page.is_visible("dialog")
        assert console == []
