"""Steps are taken back after a restart, out of the versions of `reviews`."""

from __future__ import annotations

from pathlib import Path

import pytest

from repic.pipeline import reviews
from repic.studio import earlier_steps
from repic.studio.decisions import DecisionLog
from storage.errors import StoreError
from storage.store import Store
from tests.pipeline.test_reviews import decision


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def said(store: Store) -> dict[tuple[str, str], str]:
    rows = reviews.decisions(store)
    return {(row["subject_id"], row["reviewer"]): row["decision"] for row in rows}


def test_each_step_of_a_reviewer_is_taken_back_once_after_a_restart(store: Store) -> None:
    before = DecisionLog(store)
    before.decide([decision("a", "accept", "Ann")])
    before.decide([decision("a", "reject", "Ann"), decision("b", "accept", "Ann")])
    before.decide([decision("a", "accept", "Ben")])
    before.decide([decision("c", "unsure", "Ann")])
    before.undo("Ann")
    before.decide([decision("d", "accept", "Ann")])

    after = DecisionLog(Store.open(store.location))
    after.decide([decision("e", "reject", "Ann")])
    assert [row["subject_id"] for row in after.undo("Ann")] == ["e"]
    assert [row["subject_id"] for row in after.undo("Ann")] == ["d"]
    assert said(store) == {
        ("a", "Ann"): "reject",
        ("b", "Ann"): "accept",
        ("a", "Ben"): "accept",
    }
    again = DecisionLog(Store.open(store.location))
    assert {row["subject_id"] for row in again.undo("Ann")} == {"a", "b"}
    assert said(store) == {("a", "Ann"): "accept", ("a", "Ben"): "accept"}
    again.undo("Ann")
    assert said(store) == {("a", "Ben"): "accept"}
    assert again.undo("Ann") == again.undo("Cem") == ()
    assert DecisionLog(store).undo("Ann") == ()
    assert said(store) == {("a", "Ben"): "accept"}


def test_versions_that_are_gone_or_too_old_end_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DecisionLog(store)
    for name in "abcd":
        log.decide([decision(name, "accept", "Ann")])
    monkeypatch.setattr(earlier_steps, "VERSIONS", 2)
    log = DecisionLog(store)
    assert len(log.undo("Ann")) == len(log.undo("Ann")) == 1
    assert log.undo("Ann") == ()
    assert said(store) == {("a", "Ann"): "accept", ("b", "Ann"): "accept"}
    monkeypatch.undo()
    log.decide([decision("e", "accept", "Ann")])
    (Path(store.location) / "manifests/reviews/v000001.json").unlink()
    log = DecisionLog(Store.open(store.location))
    assert [row["subject_id"] for row in log.undo("Ann")] == ["e"]
    assert log.undo("Ann") == ()


def test_a_step_that_cannot_be_taken_back_now_is_the_next_one_to_be(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DecisionLog(store)
    for name in "ab":
        log.decide([decision(name, "accept", "Ann")])

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "publish", full)
    with pytest.raises(StoreError, match="full"):
        log.undo("Ann")
    monkeypatch.undo()
    assert [row["subject_id"] for row in log.undo("Ann")] == ["b"]
    assert said(store) == {("a", "Ann"): "accept"}
