"""The page of pairs: what it shows, and decisions that are kept."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from repic.pipeline import reviews
from repic.pipeline.reviews import record
from storage.errors import StoreError
from storage.store import Store
from tests.builds import Built, build, keyed
from tests.pipeline.test_reviews import decision
from tests.studio.conftest import client

HTMX = {"hx-request": "true"}


def shown(browser: TestClient, path: str) -> list[str]:
    """Pairs of a page, in order."""
    reply = browser.get(path)
    assert reply.status_code == 200
    return re.findall(r'data-pair="(\w+)"', reply.text)


def every(browser: TestClient, path: str) -> list[str]:
    """Pairs of a page and all that follow."""
    found: list[str] = []
    while path:
        text = browser.get(path).text
        found += re.findall(r'data-pair="(\w+)"', text)
        after = re.findall(r'rel="next" href="([^"]+)"', text)
        path = after[0].replace("&amp;", "&") if after else ""
    return found


def decide(browser: TestClient, pair: str, decision: str) -> None:
    reply = browser.post(f"/pairs/{pair}/decision", data={"decision": decision}, headers=HTMX)
    assert reply.status_code == 200, reply.text
    assert reply.text.lstrip().startswith("<article")


def decided(store: Store) -> dict[tuple[str, str], str]:
    return {(r["subject_id"], r["reviewer"]): r["decision"] for r in reviews.decisions(store)}


def ends(pair: dict[str, Any]) -> tuple[str, str]:
    """The two objects of a pair."""
    return pair["anchor_id"], pair["other_id"]


def test_all_pairs_the_doubtful_first(browser: TestClient, store: Store) -> None:
    rows = keyed(store.read("pairs@latest"), "pairs")
    pairs = every(browser, "/pairs")
    every_two = {frozenset(ends(row)) for row in rows.values()}
    assert len(every_two) < len(rows), "some are in both orders"
    assert {frozenset(ends(rows[pair,])) for pair in pairs} == every_two
    assert len(pairs) == len(every_two)
    flags = [rows[pair,]["doubtful"] for pair in pairs]
    assert any(flags)
    assert flags == sorted(flags, reverse=True)
    sure = [rows[pair,] for pair in pairs if not rows[pair,]["doubtful"]]
    hardest = max(r["similarity"] for r in sure if r["kind"] == "negative")
    assert (sure[0]["kind"], sure[0]["similarity"]) == ("negative", hardest)


def test_filters_are_in_the_address(browser: TestClient, store: Store) -> None:
    rows = keyed(store.read("pairs@latest"), "pairs")
    things = {o["object_id"]: o for o in store.read("objects@latest").to_pylist()}
    name = things[next(iter(rows.values()))["anchor_id"]]["identity"]
    path = f"/pairs?kind=positive&split=train&identity={name}&low=-1&high=&doubtful="
    found = every(browser, path)
    assert {frozenset(ends(rows[pair,])) for pair in found} == {
        frozenset(ends(row))
        for row in rows.values()
        if row["kind"] == "positive"
        and row["split"] == "train"
        and name in (things[row["anchor_id"]]["identity"], things[row["other_id"]]["identity"])
    }
    text = browser.get(path).text
    assert '<option value="positive" selected>' in text
    assert f'name="identity" value="{name}"' in text


def test_a_decision_a_change_and_taking_it_back(browser: TestClient, store: Store) -> None:
    pair = shown(browser, "/pairs")[0]
    decide(browser, pair, "accept")
    assert decided(store) == {(pair, "Ann"): "accept"}
    assert pair not in shown(browser, "/pairs")
    assert shown(browser, "/pairs?review=decided") == [pair]
    text = browser.get(f"/pairs/{pair}").text
    assert 'value="accept" data-key="y" aria-pressed="true"' in text
    decide(browser, pair, "unsure")
    assert decided(store) == {(pair, "Ann"): "unsure"}
    decide(browser, pair, "")
    assert decided(store) == {}
    assert shown(browser, "/pairs")[0] == pair


def test_two_objects_are_asked_about_once(browser: TestClient, store: Store) -> None:
    rows = store.read("pairs@latest").to_pylist()
    by_ends = {ends(row): row["pair_id"] for row in rows}
    mirrored = {row["pair_id"]: by_ends.get(ends(row)[::-1]) for row in rows}
    pair = next(pair for pair in every(browser, "/pairs") if mirrored[pair])
    decide(browser, pair, "reject")
    assert not {pair, mirrored[pair]} & set(every(browser, "/pairs"))
    assert shown(browser, "/pairs?review=decided") == [pair]
    assert "Ann: wrong" in browser.get(f"/pairs/{mirrored[pair]}").text
    record(store, [decision(str(mirrored[pair]), "accept", "Ben")])
    assert shown(browser, "/pairs?review=disputed") == [pair]


def test_links_follow_the_latest_version(browser: TestClient, store: Store) -> None:
    text = browser.get("/pairs").text
    assert re.search(r'href="/pairs/\w+"', text)
    assert re.search(r'href="/photos/\w+"', text)
    pair = shown(browser, "/pairs")[0]
    reply = browser.post(f"/pairs/{pair}/decision?of=1", data={"decision": "accept"}, headers=HTMX)
    assert f'href="/pairs/{pair}"' in reply.text


def test_agreement_of_two_reviewers(browser: TestClient, store: Store) -> None:
    assert "Agreement of reviewers" not in browser.get("/pairs").text
    pairs = every(browser, "/pairs")[:5]
    said = {"Ann": "aaarr", "Ben": "aarrr"}
    words = {"a": "accept", "r": "reject"}
    record(
        store,
        [
            decision(pair, words[letter], who)
            for who, letters in said.items()
            for pair, letter in zip(pairs, letters, strict=True)
        ],
    )
    text = browser.get("/pairs").text
    row = text[text.index('<td class="wrap">Ann, Ben') :]
    # 4 of 5 agree; by chance (3 * 2 + 2 * 3) / 25.
    assert re.findall(r'class="num">([^<]+)', row)[:3] == ["5", "80.0 %", "0.615"]


def test_without_scripts_a_decision_leads_to_the_pair(browser: TestClient, store: Store) -> None:
    pair = shown(browser, "/pairs")[0]
    reply = browser.post(f"/pairs/{pair}/decision", data={"decision": "reject"})
    assert reply.url.path == f"/pairs/{pair}"
    assert "Ann: wrong" in reply.text


def test_a_studio_that_only_reads_writes_nothing(store: Store) -> None:
    visitor = client(store)
    pair = shown(visitor, "/pairs")[0]
    reply = visitor.post(f"/pairs/{pair}/decision", data={"decision": "accept"}, headers=HTMX)
    assert reply.status_code == 403
    assert "--allow-review" in reply.text
    assert store.versions("reviews") == []
    assert "data-key" in visitor.get("/pairs").text
    assert visitor.get("/pairs").text.count("disabled") >= 4


@pytest.mark.parametrize("decision", ["maybe", "accept "])
def test_nonsense_is_not_written(browser: TestClient, store: Store, decision: str) -> None:
    pair = shown(browser, "/pairs")[0]
    for path, given in (
        (f"/pairs/{pair}", decision),
        ("/pairs/nobody", "accept"),
        (f"/pairs/{pair}%00", "accept"),
    ):
        reply = browser.post(f"{path}/decision", data={"decision": given}, headers=HTMX)
        assert reply.status_code == 404
    big = browser.post(f"/pairs/{pair}/decision", content=b"decision=" + b"a" * (2 << 20))
    assert big.status_code == 413
    assert store.versions("reviews") == []


def test_two_reviewers_at_once_lose_nothing(built: Built, tmp_path: Path) -> None:
    """Two people in one studio, and a third in another one."""
    store = built.copy(tmp_path / "store")
    one = client(store, allow_review=True)
    two = TestClient(one.app, base_url=str(one.base_url))
    two.post("/reviewer", data={"name": "Ben"})
    three = client(Store.open(store.location), allow_review=True)
    three.post("/reviewer", data={"name": "Cem"})
    pairs = shown(one, "/pairs?review=any")[:10]

    def work(who: tuple[TestClient, str]) -> None:
        for pair in pairs:
            decide(who[0], pair, who[1])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, ((one, "accept"), (two, "accept"), (three, "reject"))))
    assert decided(Store.open(store.location)) == {
        (pair, name): "reject" if name == "Cem" else "accept"
        for pair in pairs
        for name in ("Ann", "Ben", "Cem")
    }
    assert sorted(shown(one, "/pairs?review=disputed")) == sorted(pairs)
    text = one.get(f"/pairs/{pairs[0]}").text
    assert "Cem: wrong" in text
    assert "disputed: left out" in text


def test_a_build_in_the_middle_loses_no_decision(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    visitor = client(store, allow_review=True)
    pairs = shown(visitor, "/pairs")[:8]
    for pair in pairs[:4]:
        decide(visitor, pair, "accept")
    album = built.album.copy(tmp_path / "album").grown()
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(build, album.settings(), Store.open(store.location))
        for pair in pairs[4:]:
            decide(visitor, pair, "reject")
        assert building.result().published
    outcome = build(album.settings(), Store.open(store.location))
    rows = keyed(store.read(outcome.tables["pairs"].ref), "pairs")
    kept = [pair for pair in pairs if (pair,) in rows]
    assert kept
    expected = dict.fromkeys(pairs[:4], "accept") | dict.fromkeys(pairs[4:], "reject")
    assert {pair: rows[pair,]["review"] for pair in kept} == {p: expected[p] for p in kept}
    assert f"dataset@v{outcome.dataset.version}" in visitor.get("/pairs").text


def test_a_store_that_cannot_be_written_is_told(
    browser: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = shown(browser, "/pairs")[0]

    def full(*_: object) -> None:
        raise StoreError("No space is left: free some.")

    monkeypatch.setattr(reviews, "add", full)
    reply = browser.post(f"/pairs/{pair}/decision", data={"decision": "accept"}, headers=HTMX)
    assert (reply.status_code, reply.text) == (409, "No space is left: free some.")
    monkeypatch.undo()
    decide(browser, pair, "accept")
