"""The page in a real browser, on several screen sizes and in both color schemes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from repic import config, report
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from storage.store import Store
from tests.report import builds

BROWSER = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine"),
]


@pytest.fixture
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


def test_the_page_in_chromium(store: Store, rows: builds.Rows, tmp_path: Path, browser) -> None:
    (tmp_path / "photos" / "thing 2" / "view 1.jpg").unlink()
    builds.publish(store, rows)
    page_file = report.write(store, "dataset@latest", tmp_path / "report.html")
    colors = {}
    for scheme in ("light", "dark"):
        for width in (360, 768, 1440):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            console: list[str] = []
            requests: list[str] = []
            page.on("console", lambda message, console=console: console.append(message.text))
            page.on("pageerror", lambda error, console=console: console.append(str(error)))
            page.on("request", lambda request, requests=requests: requests.append(request.url))
            page.goto(page_file.as_uri())
            assert console == []
            assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()]
            images = page.eval_on_selector_all(
                "img", "all => all.map(i => i.complete && i.naturalWidth > 0)"
            )
            assert len(images) > 40
            assert all(images)
            for number, what in (
                ("24", "photos"),
                ("48", "objects"),
                (str(len(rows.pairs)), "pairs"),
            ):
                assert page.locator(".figures li", has_text=what).first.locator(
                    "b"
                ).text_content() == (number)
                assert page.locator(".figures li", has_text=what).first.is_visible()
            assert page.locator(".gone").count() > 0
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0
            ink, paper = page.evaluate(
                "[getComputedStyle(document.body).color,"
                " getComputedStyle(document.body).backgroundColor]"
            )
            colors[scheme] = (ink, paper)
            context.close()
    (ink, paper), (dark_ink, dark_paper) = colors["light"], colors["dark"]
    assert _brightness(paper) > 200 > _brightness(ink)
    assert _brightness(dark_paper) < 60 < _brightness(dark_ink)


def test_a_build_of_the_sample_profile(tmp_path: Path, browser) -> None:
    """The report of `make demo`, with its own detector, encoder, photos and names."""
    settings = config.load("sample", ("source.count=120", "source.identities=24"))
    store = Store.open(tmp_path / "store", create=True)
    build(settings, store, scan(settings))
    page_file = report.write(store, "dataset@latest", tmp_path / "report.html")
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        console: list[str] = []
        page.on("console", lambda message, console=console: console.append(message.text))
        page.on("pageerror", lambda error, console=console: console.append(str(error)))
        page.goto(page_file.as_uri())
        images = page.eval_on_selector_all(
            "img", "all => all.map(i => i.complete && i.naturalWidth > 0)"
        )
        assert console == []
        assert len(images) > 60
        assert all(images)
        assert page.locator(".gone").count() == 0
        for objective in ("oct", "vlt", "ict"):
            assert page.locator(".example", has_text=f"{objective}-").first.is_visible()
        page.close()


def _brightness(color: str) -> float:
    """Mean of an `rgb(r, g, b)`."""
    numbers = [float(n) for n in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(numbers) / 3
