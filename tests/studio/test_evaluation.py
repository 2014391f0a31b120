"""Evaluation: reports, two side by side, and numbers down to captions and pixels."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from repic.studio.pages import evaluation as page
from storage.store import Store
from tests.report import builds
from tests.studio import evaluations
from tests.studio.conftest import ATTACK, client
from tests.studio.test_frame import check_escaped


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Photos whose rows are written by hand: nothing is built."""
    store = Store.open(tmp_path / "store", create=True)
    builds.publish(store, builds.rows(tmp_path / "photos", identities=4))
    return store


@pytest.fixture
def evaluated(store: Store) -> Store:
    """Two models: the first is right about every second photo, the second about the others too."""
    evaluations.publish(store, "shy")
    store.tag("evaluation@v1", "production")
    evaluations.publish(store, "eager", right=lambda photo: photo != 0)
    return store


def captions(browser: TestClient, query: str) -> list[str]:
    """Ids of the captions of all pages."""
    found: list[str] = []
    path = f"/evaluation/2/captions{query}"
    while path:
        text = browser.get(path).text
        found += re.findall(r'data-item href="/evaluation/2/captions/(\w+)"', text)
        after = re.findall(r'rel="next" href="([^"]+)"', text)
        path = html.unescape(after[0]) if after else ""
    return found


def test_every_report_is_listed(evaluated: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(evaluated)
    text = visitor.get("/evaluation").text
    assert text.index("evaluation@v2") < text.index("evaluation@v1")
    assert "eager" in text
    assert "<b>83.3</b>" in text
    assert "<b>50.0</b>" in text
    assert '<span class="chip">production</span>' in text
    monkeypatch.setattr(page, "SIZE", 1)
    text = visitor.get("/evaluation").text
    assert "evaluation@v1" not in text
    older = re.findall(r'rel="next" href="([^"]+)"', text)[0]
    assert "evaluation@v1" in visitor.get(older).text


def test_two_reports_side_by_side(evaluated: Store) -> None:
    visitor = client(evaluated)
    text = visitor.get("/evaluation/2").text
    assert 'href="/evaluation/1"' in text  # the one in production, without being asked
    assert '<td class="num better">+33.3</td>' in text
    assert '<td class="num better">-33.3</td>' in text  # of false mentions, which are bad
    assert visitor.get("/evaluation/2?against=").text == text  # what its form sends
    other = visitor.get("/evaluation/1?against=2").text
    assert '<td class="num worse">+33.3</td>' in other
    assert '<td class="num worse">-33.3</td>' in other
    # Losses are first: photo 0, of which only the first model knows anything.
    photo = evaluated.read("images@latest").to_pylist()[0]["image_id"]
    contrasts = text.partition("Answered most differently")[2]
    first = re.findall(r'data-open href="(/evaluation/2/captions/\w+)"', contrasts)[0]
    assert f"image={photo}" in visitor.get(first).text
    assert visitor.get("/evaluation/2?against=7").status_code == 404


def test_from_a_number_to_its_rows_and_pixels(
    evaluated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = client(evaluated)
    text = html.unescape(visitor.get("/evaluation/2").text)
    path = "/evaluation/2/captions?protocol=wrong&part=all"
    assert f'href="{path}"' in text
    monkeypatch.setattr(page, "CAPTIONS", 2)
    rows = evaluated.read("scores@v2").sort_by([("f1", "ascending"), ("caption_id", "ascending")])
    wrong = [row for row in rows.to_pylist() if row["protocol"] == "wrong"]
    assert captions(visitor, "?protocol=wrong&part=all") == [row["caption_id"] for row in wrong]
    absent = captions(visitor, "?verdict=absent")
    assert absent == [row["caption_id"] for row in wrong if row["false_mention"]]
    assert len(captions(visitor, "?verdict=right")) == 10
    assert captions(visitor, "?reason=nothing") == []
    one = f"/evaluation/2/captions/{absent[0]}"
    text = visitor.get(one).text
    assert "The caption omits a name." in text
    assert "near mug 0.75" in text
    assert f'href="/photos/{wrong[0]["image_id"]}"' in text
    assert visitor.get(f"/photos/{wrong[0]['image_id']}").status_code == 200
    for place in ("0", "1", "photo"):
        reply = visitor.get(f"{one}/{place}/256.jpg")
        assert reply.headers["content-type"] == "image/jpeg"
    for place in ("2", "-1", "x", "..%2f0"):
        assert visitor.get(f"{one}/{place}/256.jpg").status_code == 404
    assert visitor.get("/evaluation/2/captions/nobody").status_code == 404
    assert visitor.get("/evaluation/2/captions?page=0").status_code == 422


@pytest.mark.parametrize(
    "summary",
    [
        b"",
        b"\xff",
        b"[1]",
        b"null",
        b"{}",
        b'{"model": "m", "suite": "s"}',
        b'{"model": {"a": 1}, "suite": [], "protocols": 3, "photos": "x", "concepts": null}',
    ],
)
def test_a_broken_report_hides_no_other(evaluated: Store, summary: bytes) -> None:
    evaluations.put(evaluated, summary)
    evaluations.put(evaluated, summary, evaluated.manifest("evaluation@v2").inputs)
    visitor = client(evaluated)
    text = visitor.get("/evaluation").text
    assert text.count('<span class="chip warn">broken</span>') == 2
    assert "<b>83.3</b>" in text
    for number in (3, 4):
        reply = visitor.get(f"/evaluation/{number}")
        assert reply.status_code == 409
        assert "evaluate the model again" in reply.text.lower()
    assert visitor.get("/evaluation/2").status_code == 200


def test_texts_of_reports_are_escaped(store: Store) -> None:
    evaluations.publish(store, "other", lambda photo: False, text=ATTACK)
    evaluations.publish(store, ATTACK, text=ATTACK)
    visitor = client(store)
    [one, *_] = captions(visitor, "")
    for path in (
        "/evaluation",
        "/evaluation/2?against=1",
        "/evaluation/2/captions",
        f"/evaluation/2/captions/{one}",
    ):
        reply = visitor.get(path)
        assert reply.status_code == 200, reply.text
        check_escaped(reply.text)
        assert "alert(1)" in reply.text
