"""The page of an evaluation: its numbers, its errors, and its look in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from repic import config, report
from repic.evaluation.results import EvaluationResult, load
from repic.evaluation.run import run
from storage.store import Store
from tests.evaluation.servers import name_all, name_none, serving
from tests.report.test_browser import BROWSER, browser  # noqa: F401

PROTOCOLS = ("skip-retrieval", "retrieval", "wrong")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvaluationResult]:
    """A promoted evaluation without names in captions, and one with the names of all references."""
    folder = tmp_path_factory.mktemp("evaluated")
    store = Store.open(folder / "store", create=True)
    with pytest.MonkeyPatch.context() as patch, serving(name_none) as server:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        values = {"photos": 8, "protocols": PROTOCOLS, "backend": "server", "url": server.url}
        settings = config.load("sample", evaluate={**values})
        first = run("shy", settings, store)
        store.tag(first.manifest.ref, "production")
        server.reply = name_all
        yield run("eager", settings, store)


@pytest.mark.slow
def test_the_page_says_what_the_tables_say(evaluation: EvaluationResult, tmp_path: Path) -> None:
    page = report.write(evaluation.store, evaluation.ref, tmp_path).read_text(encoding="utf-8")
    assert "eager" in page
    assert "Against evaluation@v1" in page
    assert "names a reference that was shown but is not in the photo" in page
    assert page.count("<article") == 20
    assert "polyline" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    value = evaluation.score("f1", "retrieval").value
    assert f"<b>{100 * (value or 0):.1f}</b>" in page
    fit = evaluation.score("clip_score", "wrong", metric="quality")
    quality, changes = _section(page, "quality"), _section(page, "changes")
    assert f"<b>{fit.value:.2f}</b>" in quality
    facts = evaluation.score("absent_facts", "wrong", metric="facts")
    assert f"n {facts.n}</small>" in _section(page, "facts")
    assert not _section(page, "reference")
    assert f"{fit.low:.2f} to {fit.high:.2f}<br>n 24</small>" in quality
    counted = evaluation.score("false_mention", "retrieval").n
    assert 0 < counted < 24, "only captions of questions with an absent reference"
    assert f"n {counted}</small>" in _section(page, "headline")
    names = evaluation.score("right_share", "retrieval", metric="retrieval").n
    assert f"n {names}</small>" in _section(page, "retrieval")
    assert "shared n" in changes
    assert changes.count('<td class="num">24</td></tr>') == changes.count("</tr>") - 1
    alone = report.write(evaluation.store, "evaluation@production", tmp_path / "first.html")
    assert "Against" not in alone.read_text(encoding="utf-8")
    assert len(page) < 2_000_000


def test_an_encoder_without_texts_scores_no_captions(
    evaluation: EvaluationResult, tmp_path: Path
) -> None:
    values = {"photos": 8, "protocols": ("wrong",), "backend": "server"}
    with serving(name_none) as server:
        changes = ["encoder.architecture=photos"]
        other = run(
            "blind",
            config.load("sample", changes, evaluate={"url": server.url, **values}),
            evaluation.store,
        )
    page = report.write(evaluation.store, other.ref, tmp_path).read_text(encoding="utf-8")
    [row] = [line for line in _section(page, "quality").splitlines() if "<tr><th>wrong" in line]
    assert row.endswith('<td class="num nowrap">\u2013</td></tr>')


def _section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def test_what_was_asked_other_questions_is_no_comparison(
    evaluation: EvaluationResult, tmp_path: Path
) -> None:
    values = {"photos": 8, "protocols": ("wrong",), "backend": "server"}
    with serving(name_none) as server:
        settings = config.load(
            "sample", ["evaluate.seed=5"], evaluate={"url": server.url, **values}
        )
        other = run("other", settings, evaluation.store)
    page = report.write(evaluation.store, other.ref, tmp_path).read_text(encoding="utf-8")
    assert "other" in page
    assert "Against" not in page


def test_right_captions_leave_nothing_to_look_at(
    evaluation: EvaluationResult, tmp_path: Path
) -> None:
    values = {"photos": 8, "protocols": ("wrong",), "backend": "server"}
    with serving(name_none) as server:
        settings = config.load("sample", evaluate={"url": server.url, **values})
        right = run("right", settings, evaluation.store)
    page = report.write(evaluation.store, right.ref, tmp_path, against=evaluation.ref)
    assert "Every caption is correct." in page.read_text(encoding="utf-8")
    assert load(evaluation.store, right.ref).suite == "sample"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
def test_the_page_in_chromium(evaluation: EvaluationResult, tmp_path: Path, browser) -> None:  # noqa: F811
    file = report.write(evaluation.store, evaluation.ref, tmp_path / "report.html")
    colors = set()
    for scheme in ("light", "dark"):
        for width in (360, 1440):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            console: list[str] = []
            requests: list[str] = []
            page.on("console", lambda message, console=console: console.append(message.text))
            page.on("pageerror", lambda error, console=console: console.append(str(error)))
            page.on("request", lambda request, requests=requests: requests.append(request.url))
            page.goto(file.as_uri())
            assert console == []
            assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
            images = page.eval_on_selector_all(
                "img", "all => all.map(i => i.complete && i.naturalWidth > 0)"
            )
            assert len(images) > 40
            assert all(images)
            row = page.locator("#headline tbody tr", has_text="wrong").first
            assert row.is_visible()
            assert re.search(r"100\.0", row.inner_text())  # false mentions
            assert page.locator(".gauge").first.is_visible()
            assert page.locator("#retrieval svg polyline").count() == 2
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0
            colors.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            context.close()
    assert len(colors) == 2
