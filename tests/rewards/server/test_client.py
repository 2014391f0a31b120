"""Requests end in bounded time whatever a worker does, and a row is scored or None."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from repic.rewards.server.app import Limits
from repic.rewards.server.client import RetryPolicy, RewardClient, score_now
from tests.rewards.server.workers import BAD_REPLIES, HARM, fails, harmful, reply, scores, worker

ROW = {"objective": "oct", "kind": "positive", "answer": "yes"}
ANSWERS = ["yes", "no", "yes", "perhaps"]
RIGHT = [1.0, 0.0, 1.0, 0.0]
QUICK = RetryPolicy(
    seconds=1.0, total=8, tries=3, pause=0.01, failures=3, rest=0.3, rows=2, reply=1 << 20
)


def totals(client: RewardClient, answers: list[str] = ANSWERS) -> list[float | None]:
    rewards = score_now(client, answers, [ROW] * len(answers))
    return [None if reward is None else reward.total for reward in rewards]


def test_answers_are_scored_in_order() -> None:
    with worker() as url:
        client = RewardClient([f"{url}/"], policy=QUICK)
        assert totals(client) == RIGHT
        assert (client.counts.rows, client.counts.unscored, client.counts.retries) == (4, 0, 0)
        assert totals(client, []) == []


def test_it_works_inside_a_running_loop() -> None:
    async def asked() -> tuple[list[Any], list[float | None]]:
        client = RewardClient([url], policy=QUICK)
        return await client.score(ANSWERS, [ROW] * 4), totals(client)

    with worker() as url:
        awaited, called = asyncio.run(asked())
    assert [reward.total for reward in awaited] == called == RIGHT


@pytest.mark.parametrize("harm", [*HARM, *BAD_REPLIES], ids=lambda act: act.__name__)
def test_a_harmful_worker_costs_scores_and_bounded_time(harm: Any) -> None:
    with harmful(harm) as url:
        client = RewardClient([url], policy=QUICK)
        assert totals(client) == [None] * 4  # some workers would go on for ever
    assert client.counts.unscored == 4
    assert client.counts.reasons


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM, ids=lambda act: act.__name__)
def test_beside_a_good_worker_a_harmful_one_costs_nothing(harm: Any) -> None:
    # On a busy machine, the good worker too may be late, but not at every try.
    policy = replace(QUICK, total=120, tries=8, rest=0.05)
    with harmful(harm) as bad, worker() as good:
        client = RewardClient([bad, good], policy=policy)
        for _ in range(3):
            assert totals(client) == RIGHT


def test_nobody_there_is_a_try_and_not_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = RewardClient([url], policy=QUICK)
    assert totals(client) == [None] * 4
    assert "ConnectError" in client.counts.reasons


def test_a_worker_that_says_wait_is_asked_again() -> None:
    asked: list[float] = []

    def busy_once(handler: Any, body: Any) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            reply(handler, 429, b"{}", retry_after="0.3")
        else:
            reply(handler, 200, scores([1.0] * len(body["rows"])))

    with harmful(busy_once) as url:
        assert totals(RewardClient([url], policy=QUICK), ["yes"]) == [1.0]
    assert asked[1] - asked[0] >= 0.3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 422])
def test_other_refusals_are_final(status: int) -> None:
    asked: list[int] = []

    def refuses(handler: Any, _: Any) -> None:
        asked.append(status)
        reply(handler, status, b"{}", location="/elsewhere")

    with harmful(refuses) as url:
        client = RewardClient([url], policy=QUICK)
        assert totals(client, ["yes"]) == [None]
    assert len(asked) == 1
    assert client.counts.retries == 0


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "1e999", "soon", "Sun, 29 Nov 2026"])
def test_a_wait_that_is_none_is_short(wait: str) -> None:
    def busy(handler: Any, _: Any) -> None:
        reply(handler, 429, b"{}", retry_after=wait)

    with harmful(busy) as url:
        client = RewardClient([url], policy=replace(QUICK, total=0.5))
        assert totals(client, ["yes"]) == [None]


def test_what_workers_say_is_logged_on_one_line_and_not_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[int] = []

    def refuses(handler: Any, _: Any) -> None:
        asked.append(1)
        reply(handler, 400, b"\x1b[2J\r\nno " + str(len(asked)).encode() + b"x" * 9_000)

    with harmful(refuses) as url:
        client = RewardClient([url], policy=QUICK)
        for _ in range(3):
            assert totals(client, ["yes"]) == [None]
    assert client.counts.reasons == {"status 400": 3}
    lines = [record.getMessage() for record in caplog.records if "status 400" in record.message]
    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 400 for line in lines)


def test_a_worker_that_fails_is_left_alone_for_a_while() -> None:
    asked: list[float] = []
    good = False

    def sometimes(handler: Any, body: Any) -> None:
        asked.append(time.monotonic())
        if good:
            reply(handler, 200, scores([1.0] * len(body["rows"])))
        else:
            fails(handler, body)

    with harmful(sometimes) as url:
        client = RewardClient([url], policy=replace(QUICK, rest=3600))
        assert totals(client, ["yes"]) == [None]
        count = len(asked)
        assert totals(client, ["yes"]) == [None]
        assert len(asked) == count
        assert client.counts.reasons["all workers are skipped"] >= 1
        client = RewardClient([url], policy=QUICK)
        assert totals(client, ["yes"]) == [None]
        good = True
        time.sleep(QUICK.rest)
        assert totals(client, ["yes"]) == [1.0]


def test_the_token_is_sent_and_a_wrong_one_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPIC_REWARD_TOKEN", raising=False)
    with worker(token="abc") as url:
        assert totals(RewardClient([url], token="abc", policy=QUICK)) == RIGHT
        assert totals(RewardClient([url], policy=QUICK)) == [None] * 4
        monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")
        assert totals(RewardClient([url], policy=QUICK)) == RIGHT


def test_a_full_worker_is_waited_for() -> None:
    with worker(limits=Limits(at_once=1)) as url:
        policy = RetryPolicy(seconds=5, total=30, tries=6, rows=1)
        client = RewardClient([url], policy=policy)
        assert totals(client, ["yes"] * 6) == [1.0] * 6


def test_an_invalid_row_costs_only_itself() -> None:
    rows: list[Any] = [
        ROW,
        {**ROW, "objective": "none"},
        {**ROW, "references": [{"name": "x" * 300, "info": "", "present": True}]},
        {**ROW, "box": [float("nan")] * 4},
        {**ROW, "scene": [{"name": None, "box": [0.0] * 4, "label": "a", "phrases": []}] * 300},
        {"kind": "positive"},
        ROW,
    ]
    with worker() as url:
        client = RewardClient([url], policy=RetryPolicy(seconds=5))
        rewards = score_now(client, ["yes", *["yes"] * 5, "no \ud800"], rows)
        assert [r and r.total for r in rewards] == [1.0, *[None] * 6]
        assert client.counts.reasons == {
            "an invalid row": 5
        }  # the worker says that the scene is too large
        assert client.counts.retries == 0


def test_no_url_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a URL"):
        RewardClient([])
