"""The history of decisions: kept in order, with the tag moved in the same commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from repic import config
from repic.errors import ConfigError
from repic.evaluation.results import SUMMARY
from repic.pipeline import catalog
from repic.refresh import history
from repic.refresh.decision import Decision, MetricComparison, decide, stopped
from repic.tables import TABLES
from storage.errors import MovedError, StoreError, UnreachableError
from storage.manifest import Origin, Run
from storage.store import Store

GAIN = MetricComparison("f1 (mixed)", 0.6, 0.7, 0.1, 0.04, 0.16)
Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store", create=True)
    for number in range(1, 5):
        answers = TABLES["rollouts"].empty()
        told = Origin(fingerprint=str(number))
        rollouts = made.publish("rollouts", answers, told, key=TABLES["rollouts"].key)
        chosen_by = [made.manifest(f"rollouts@v{number - 1}").as_input()] if number > 1 else []
        origin = Origin(fingerprint=str(number), inputs=(*chosen_by, rollouts.as_input()))
        made.publish_files("checkpoint", {"adapter": bytes([number])}, origin, kind="checkpoint")
        summary = json.dumps({"model": f"checkpoint@v{number}", "suite": "sample"}).encode()
        made.publish_files(
            "evaluation", {SUMMARY: summary}, Origin(fingerprint=f"e{number}"), kind="report"
        )
    made.commit({"checkpoint": 4})
    return made


def put(store: Store, number: int, decision: Decision) -> history.RecordedDecision:
    before = history.in_use(store, "production")
    candidate = f"checkpoint@v{number}"
    evaluation = store.manifest(f"evaluation@v{number}")
    return history.record(
        *(store, f"request {number}", candidate, before, decision, "production"),
        *(Run.here(), {}, evaluation),
    )


def test_the_tag_moves_only_with_a_promotion(store: Store) -> None:
    assert history.decisions(store) == []
    first = put(store, 1, decide(False, ()))
    assert (first.number, first.in_use) == (1, "checkpoint@v1")
    refused = put(store, 2, stopped("entropy fell"))
    assert refused.in_use == history.in_use(store, "production") == "checkpoint@v1"
    promoted = put(store, 3, decide(True, (GAIN,)))
    assert promoted.production == "checkpoint@v1"
    assert history.in_use(store, "production") == "checkpoint@v3"
    assert str(store.resolve("evaluation@production")) == "evaluation@v3"
    decisions = history.decisions(store)
    assert [d.verdict for d in decisions] == ["first", "refused", "promoted"]
    assert decisions[2].rows[0]["low"] == pytest.approx(0.04)
    assert decisions[1].why == "training was stopped: entropy fell"


def test_a_rollback_is_a_decision_and_can_be_followed_by_another(store: Store) -> None:
    with pytest.raises(StoreError, match="repic refresh run"):
        history.roll_back(store, "production", Run.here())
    put(store, 1, decide(False, ()))
    with pytest.raises(StoreError, match="there is no earlier one"):
        history.roll_back(store, "production", Run.here())
    put(store, 2, decide(True, (GAIN,)))
    put(store, 3, decide(True, (GAIN,)))
    back = history.roll_back(store, "production", Run.here())
    assert (back.candidate, back.production) == ("checkpoint@v2", "checkpoint@v3")
    assert str(store.resolve("evaluation@production")) == "evaluation@v2"
    assert history.in_use(store, "production") == "checkpoint@v2"
    history.roll_back(store, "production", Run.here())
    assert history.in_use(store, "production") == "checkpoint@v1"
    with pytest.raises(StoreError, match="there is no earlier one"):
        history.roll_back(store, "production", Run.here())
    put(store, 4, decide(True, (GAIN,)))
    assert history.in_use(store, "production") == "checkpoint@v4"
    assert len(history.decisions(store)) == 6


def test_a_checkpoint_is_promoted_by_hand_and_rolled_back(store: Store) -> None:
    put(store, 1, decide(False, ()))
    recorded = history.promote(store, "checkpoint@v3", "production", Run.here(), " it is\x00 kind ")
    assert recorded.why == "checkpoint@v3 was promoted by hand: it is kind"
    assert history.in_use(store, "production") == "checkpoint@v3"
    assert str(store.resolve("evaluation@production")) == "evaluation@v3"
    with pytest.raises(StoreError, match="tagged production already"):
        history.promote(store, "checkpoint@v3", "production", Run.here(), "again")
    with pytest.raises(ConfigError, match="is a report"):
        history.promote(store, "evaluation@v1", "production", Run.here(), "why not")
    back = history.roll_back(store, "production", Run.here(), "x" * 900)
    assert back.in_use == "checkpoint@v1"
    assert len(back.why) < 600


def test_a_tag_that_somebody_moved_meanwhile_stays(store: Store) -> None:
    put(store, 1, decide(False, ()))
    store.tag("checkpoint@v4", "production")
    decision = decide(True, (GAIN,))
    with pytest.raises(MovedError, match="try again"):
        history.record(
            *(store, "request", "checkpoint@v2", "checkpoint@v1", decision, "production"),
            *(Run.here(), {}),
        )
    assert history.in_use(store, "production") == "checkpoint@v4"
    assert len(history.decisions(store)) == 1


def test_a_decision_that_was_killed_before_its_commit_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", _killed)
        with pytest.raises(KeyboardInterrupt):
            put(store, 1, decide(False, ()))
    assert history.decisions(store) == []
    assert put(store, 1, decide(False, ())).number == 1
    assert history.in_use(store, "production") == "checkpoint@v1"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_difficulty_is_told_by_candidates_that_were_decided_on(store: Store) -> None:
    """Rollouts of an undecided candidate belong to a run that must resume unchanged."""
    assert history.rollouts_of_last(store) is None
    put(store, 2, decide(False, ()))
    assert history.rollouts_of_last(store) == "rollouts@v2"


def test_it_is_told_and_rolled_back_from_the_command_line(store: Store, repic_main: Main) -> None:
    put(store, 1, decide(False, ()))
    put(store, 2, decide(True, (GAIN,)))
    catalog.refresh(store)
    at = f"--store={store.location}"
    code, out, _ = repic_main("refresh", "why", at)
    assert code == 0
    assert "Decision 2: promoted checkpoint@v2; in use: checkpoint@v2" in out
    assert "better beyond its interval" in out
    assert "first" in repic_main("refresh", "why", "1", at)[1]
    assert "there is no decision 9: there are 2" in repic_main("refresh", "why", "9", at)[2]
    code, out, _ = repic_main("refresh", "rollback", at, "--reason", "it calls all [/dogs]\nRex")
    assert "checkpoint@v1 is @production again" in out
    assert "was taken back by hand: it calls all [/dogs] Rex" in out
    assert history.decisions(store)[-1].why in out
    code, out, _ = repic_main(
        "sql", "select verdict, candidate from promotions order by decision", "--format=csv", at
    )
    assert out.splitlines()[1:] == [
        "first,checkpoint@v1",
        "promoted,checkpoint@v2",
        "rolled back,checkpoint@v1",
    ]


def test_a_server_that_does_not_answer_is_not_taken_for_an_empty_history(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, 2, decide(False, ()))
    found = history.decisions(store)

    def unreachable(ref: object) -> None:
        raise UnreachableError("S3 does not answer")

    monkeypatch.setattr(history, "decisions", lambda _: found)
    for operation in ("resolve", "manifest"):
        monkeypatch.setattr(store, operation, unreachable)
    with pytest.raises(UnreachableError):
        history.in_use(store, "production")
    with pytest.raises(UnreachableError):
        history.rollouts_of_last(store)


@pytest.mark.parametrize("tag", ["latest", "v3", "my tag", "a/b"])
def test_what_cannot_be_a_tag_is_refused_before_anything_is_trained(tag: str) -> None:
    with pytest.raises(ConfigError, match=r"refresh\.tag.*cannot"):
        config.load("sample", [f"refresh.tag={tag}"])
    assert config.load("sample", ["refresh.tag=good-1.x"]).refresh.tag == "good-1.x"


def test_each_override_goes_to_whom_it_belongs() -> None:
    overrides = [
        *("source.count=9", "train.lora.rank=4", "trainer.max_steps=1", "evaluate.photos=9"),
        *("refresh.rows=8", "refresh.margins.oct=0.5", "detector.confidence=0.4"),
    ]
    asked = config.load("sample", overrides)
    assert asked.train.lora.rank == 4
    assert asked.trainer["max_steps"] == 1
    assert asked.evaluate.photos == 9
    assert asked.detector.confidence == 0.4
    assert (asked.refresh.rows, asked.refresh.margins.oct) == (8, 0.5)
    assert asked.sources[0].count == 9
    with pytest.raises(ConfigError, match="`repic train` reads only"):
        config.load("sample", overrides, scope=config.TRAIN)
