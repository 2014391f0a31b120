"""Versions: what each added, lineage, and what was made from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from repic.refresh import history
from repic.studio.lineage_picture import picture
from repic.studio.pages import versions as page
from storage.lineage import lineage
from storage.manifest import Origin
from storage.store import Store
from tests.builds import MORE, Built, build
from tests.studio.conftest import ATTACK, client
from tests.studio.test_frame import check_escaped


@pytest.fixture(scope="module")
def grown(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions, of which the second has more photos."""
    folder = tmp_path_factory.mktemp("grown")
    store = built.copy(folder / "store")
    build(built.album.copy(folder / "album").grown().settings(), store)
    return store


def test_the_timeline_says_what_each_version_added(grown: Store) -> None:
    visitor = client(grown)
    text = visitor.get("/versions").text
    second, first = re.findall(r'<li(?: class="latest")?>\s*<h2>.*?</li>', text, re.S)
    assert "dataset@v2" in second
    assert "latest" in second
    assert f"photos <b>+{MORE}</b>" in second
    assert second.count("<img") == MORE
    count = grown.manifest("images@v1").rows
    assert f"photos <b>+{count}</b>" in first
    (source,) = set(re.findall(r'src="(/pictures/[^"]+v=2)"', second)[:1])
    assert visitor.get(source).headers["content-type"] == "image/jpeg"


def test_older_versions_are_on_other_pages(grown: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "SIZE", 1)
    visitor = client(grown)
    text = visitor.get("/versions").text
    assert "dataset@v2" in text
    assert 'rel="next" href="/versions?before=2"' in text
    older = visitor.get("/versions?before=2").text
    assert 'href="/versions/dataset/1"' in older
    assert 'rel="next"' not in older


def test_decisions_in_a_row_are_one_line_of_the_history(browser: TestClient, store: Store) -> None:
    before = browser.get("/versions").text.count('<td class="when">')
    for pair in store.read("pairs@latest", ["pair_id"])["pair_id"].to_pylist()[:3]:
        browser.post(f"/pairs/{pair}/decision", data={"decision": "accept"})
    text = browser.get("/versions").text
    assert text.count('<td class="when">') == before + 1
    assert "commit reviews@v3" in text


def test_the_lineage_leads_from_photos_to_the_dataset(grown: Store) -> None:
    graph = lineage(grown, "dataset@v2")
    drawn = picture(graph.edges, graph.root)
    assert {node.text for node in drawn.nodes} == {
        node.name if node.version is None else f"{node.name}@v{node.version}"
        for node in graph.nodes
    }
    place = {node.text: node.y for node in drawn.nodes}
    assert place["images@v2"] < place["pairs@v2"] < place["dataset@v2"] == max(place.values())
    visitor = client(grown)
    for node in drawn.nodes:
        assert not node.is_end
        if node.path:
            assert visitor.get(node.path).status_code == 200
    text = visitor.get("/versions/pairs/2").text
    assert 'href="/versions/dataset/2"' in text  # made from it


def test_an_unknown_version_is_told(browser: TestClient) -> None:
    for path in ("/versions/dataset/9", "/versions/nothing/1", "/versions/..%2f/1"):
        assert browser.get(path).status_code == 404
    assert browser.get("/versions/dataset/x").status_code == 422


def test_old_versions_show_their_own_pairs(grown: Store, tmp_path: Path) -> None:
    visitor = client(grown)
    for number in (1, 2):
        text = visitor.get(f"/pairs?v={number}&review=any").text
        rows = grown.read(f"pairs@v{number}").to_pylist()
        both = {frozenset((row["anchor_id"], row["other_id"])) for row in rows}
        assert f"{len(both):,} pairs" in text
        assert all(f"v={number}" in link for link in re.findall(r'rel="next" href="([^"]+)', text))


def test_a_checkpoint_is_promoted_and_rolled_back_with_a_reason(store: Store) -> None:
    for number in (1, 2):
        origin = Origin(fingerprint=str(number))
        store.publish_files("checkpoint", {"adapter": bytes([number])}, origin, kind="checkpoint")
    store.commit({"checkpoint": 2})
    ann = client(store, allow_review=True)
    for number in (1, 2):
        assert "Promote" in ann.get(f"/versions/checkpoint/{number}").text
        given = {"do": "promote", "reason": f"{ATTACK} {number}"}
        reply = ann.post(f"/versions/checkpoint/{number}/use", data=given)
        assert reply.url.path == f"/versions/checkpoint/{number}"
        assert history.in_use(store, "production") == f"checkpoint@v{number}"
        check_escaped(reply.text)
    back = {"do": "roll back", "reason": "worse at night"}
    stale = ann.post("/versions/checkpoint/1/use", data=back)
    assert stale.status_code == 409
    assert "not in use any more" in stale.text
    reply = ann.post("/versions/checkpoint/2/use", data=back)
    assert reply.url.path == "/versions/checkpoint/1"
    assert "taken back by hand: worse at night" in reply.text
    assert store.manifest("promotions@latest").run.user == "Ann"
    assert "Say why" in ann.post("/versions/checkpoint/2/use", data={"do": "promote"}).text
    reader = client(store)
    assert "<button name=" not in reader.get("/versions/checkpoint/2").text
    given = {"do": "promote", "reason": "why not"}
    assert reader.post("/versions/checkpoint/2/use", data=given).status_code == 403
    foreign = {"origin": "http://evil.example"}
    refused = ann.post("/versions/checkpoint/2/use", data=given, headers=foreign)
    assert refused.status_code == 403
    assert len(history.decisions(store)) == 3
