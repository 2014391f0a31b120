"""The playground, and the pages of training and evaluation, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builds import Built
from tests.studio import evaluations, training_runs, worlds
from tests.studio.chromium import MARKS, PATIENCE, SCREENS, check_access, served, visit, wait_until

pytestmark = MARKS


def test_the_playground_captions_a_photo_with_the_shipped_model(
    built: Built, tmp_path: Path, chromium: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    photos = worlds.photos(tmp_path)
    with served(built.store, allow_review=False) as url, visit(chromium) as (page, console):
        page.goto(f"{url}/playground")
        page.set_input_files("[name=photo]", photos["photo"])
        for number, name in enumerate(worlds.NAMES):
            page.fill(f"[name=name{number}]", name)
            page.set_input_files(f"[name=reference{number}]", photos[name])
        page.uncheck("[name=present2]")
        page.click(".upload button", no_wait_after=True)
        page.wait_for_selector("#result", timeout=4 * PATIENCE)  # the model is loaded first
        assert "<Andrea>" in page.locator(".answer mark").all_text_contents()
        assert page.locator(".boxed rect").count() >= 2
        assert "Andrea and Rex are in the photo" in page.text_content("#result")
        shown = "all => all.every(i => i.complete && i.naturalWidth > 0)"
        wait_until(page, f"({shown})([...document.images])")
        assert console == []
        check_access(axe, page, "the answer")
        beyond = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert beyond <= 0
        page.fill("[name=name0]", "<script>")
        page.set_input_files("[name=photo]", photos["photo"])
        page.set_input_files("[name=reference0]", photos["Rex"])
        page.click(".upload button")
        page.wait_for_selector("[role=alert]")
        assert "without < and >" in page.text_content("[role=alert]")


def test_training_evaluation_and_a_checkpoint(built: Built, tmp_path: Path, chromium: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    store = built.copy(tmp_path / "store")
    training_runs.publish(store)
    training_runs.start(store)
    evaluations.publish(store)
    caption = store.read("captions@v1", ["caption_id"])["caption_id"][0].as_py()
    paths = [
        *("/training", "/training/1", "/training/1/steps/5"),
        f"/training/unfinished/{training_runs.LIVE}",
        *("/evaluation", "/evaluation/1", "/evaluation/1/captions"),
        *(f"/evaluation/1/captions/{caption}", "/versions/checkpoint/1"),
    ]
    with served(store) as url:
        for scheme, width in (SCREENS[0], SCREENS[-1]):
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            with visit(chromium, **options) as (page, console):
                for path in paths:
                    reply = page.goto(url + path)
                    assert reply.status == 200, path
                    page.wait_for_load_state("load")
                    assert console == [], path
                    check_access(axe, page, path)
                    beyond = page.evaluate(
                        "document.documentElement.scrollWidth - window.innerWidth"
                    )
                    assert beyond <= 0, (path, width)
        with visit(chromium) as (page, console):
            page.goto(f"{url}/versions/checkpoint/1")
            page.fill("[name=reason]", "the first that names Rex")
            page.click("button[value=promote]")
            page.wait_for_selector("button[value='roll back']")
            assert "promoted by hand: the first that names Rex" in page.text_content("main")
            assert console == []
    assert str(store.resolve("checkpoint@production")) == "checkpoint@v1"
