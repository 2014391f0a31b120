"""Decisions of several reviewers: none is lost, and a build applies what they agree on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repic.errors import SchemaError
from repic.pipeline import reviews
from repic.pipeline.reviews import record, settled
from repic.tables import TABLES
from storage.store import Store
from tests.builds import Built, build, keyed


def decision(pair: str, decided: str, reviewer: str, subject: str = "pair") -> reviews.Decision:
    return {
        "subject": subject,
        "subject_id": pair,
        "decision": decided,
        "reviewer": reviewer,
        "note": None,
    }


def test_what_reviewers_say_together() -> None:
    table = TABLES["reviews"].table(
        [
            decision("agreed", "accept", "Ann"),
            decision("agreed", "accept", "Ben"),
            decision("differ", "accept", "Ann"),
            decision("differ", "reject", "Ben"),
            decision("one", "reject", "Ann"),
            decision("one", "unsure", "Ben"),
            decision("nobody", "unsure", "Ben"),
            decision("agreed", "reject", "Ann", "object"),
        ]
    )
    said = {row["subject_id"]: row["decision"] for row in settled(table, "pair").to_pylist()}
    assert said == {"agreed": "accept", "differ": "disputed", "one": "reject"}
    assert settled(table, "object").to_pylist() == [{"subject_id": "agreed", "decision": "reject"}]
    assert settled(TABLES["reviews"].empty(), "pair").num_rows == 0


def test_two_reviewers_at_once_lose_nothing(tmp_path: Path) -> None:
    Store.open(tmp_path / "store", create=True)

    def review(name: str) -> None:
        store = Store.open(tmp_path / "store")  # as another process has it
        for number in range(8):
            record(store, [decision(f"pair {number}", "accept", name)])

    names = ("Ann", "Ben", "Cem")
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(review, names))
    rows = reviews.decisions(Store.open(tmp_path / "store"))
    assert {(r["subject_id"], r["reviewer"]) for r in rows} == {
        (f"pair {number}", name) for number in range(8) for name in names
    }


def test_a_decision_is_changed_and_withdrawn(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    first = record(store, [decision("p", "accept", "Ann")])
    record(store, [decision("p", "reject", "Ann"), decision("q", "unsure", "Ben")])
    assert {(r["subject_id"], r["decision"]) for r in reviews.decisions(store)} == {
        ("p", "reject"),
        ("q", "unsure"),
    }
    back = record(store, [decision("p", "accept", "Ann"), decision("q", "", "Ben")])
    assert back.ref == first.ref  # the same decisions are the same version
    assert record(store, [decision("p", "", "Ben")]).ref == first.ref  # Ann's stays
    with pytest.raises(SchemaError, match="decision on p"):
        record(store, [decision("p", "maybe", "Ann")])
    assert len(reviews.decisions(store)) == 1


def test_a_pair_on_which_reviewers_differ_is_not_used(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    examples = store.read("examples@latest")["pair_ids"].to_pylist()
    used = sorted({pair for pairs in examples for pair in pairs})[:3]
    box = store.read("objects@latest")["object_id"][0].as_py()
    record(store, [decision(pair, "accept", "Ann") for pair in used])
    record(store, [decision(used[0], "reject", "Ben"), decision(used[1], "unsure", "Ben")])
    record(store, [decision(box, who, who, "object") for who in ("accept", "reject")])
    outcome = build(built.album.settings(), store)
    rows = keyed(store.read(outcome.tables["pairs"].ref), "pairs")
    assert [rows[pair,]["review"] for pair in used] == ["disputed", "accept", "accept"]
    now = store.read("examples@latest")["pair_ids"].to_pylist()
    assert used[0] not in {pair for pairs in now for pair in pairs}
    assert box in store.read("objects@latest")["object_id"].to_pylist()
