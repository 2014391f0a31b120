"""Differences between answers to the same rows, and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from repic.models.vlm.answers import ALL, Answer, Measured, compare, shared


def answers(objective: str, rewards: list[float]) -> list[Answer]:
    return [
        Answer(f"{objective}{n}", objective, "x", reward, "right" if reward > 0.5 else "wrong")
        for n, reward in enumerate(rewards)
    ]


def measured(**rewards: list[float]) -> Measured:
    every = tuple(a for name, values in rewards.items() for a in answers(name, values))
    return Measured(every, every)


def test_a_difference_is_of_the_same_rows() -> None:
    before = measured(oct=[0.0, 1.0] * 20, vlt=[0.2] * 10)
    after = measured(oct=[0.5, 1.0] * 20, vlt=[0.2] * 10)
    found = {(c.how, c.objective): c for c in compare(before, after)}
    oct_ = found["greedy", "oct"]
    assert (oct_.n, oct_.before, oct_.after) == (40, 0.5, 0.75)
    assert oct_.difference == pytest.approx(0.25)
    assert 0.15 < oct_.low < 0.25 < oct_.high < 0.35
    vlt = found["sampled", "vlt"]
    assert (vlt.low, vlt.high) == pytest.approx((0, 0))
    every = found["greedy", ALL]
    assert every.n == 50
    assert every.difference == pytest.approx(0.125), "objectives weigh the same"


def test_a_row_that_one_side_lost_counts_on_neither() -> None:
    before, after = measured(oct=[0.0] * 5), measured(oct=[1.0] * 4)
    (change, _) = compare(*shared(before, after))
    assert (change.n, change.before, change.after) == (4, 0, 1)


def test_what_was_measured_is_read_back_as_it_was() -> None:
    greedy, sampled = measured(oct=[0.0, 1.0], vlt=[0.3]).greedy, measured(oct=[1.0], vlt=[0.4, 1])
    was = Measured(greedy, sampled.sampled)
    assert Measured.from_json(json.loads(json.dumps(was.as_json()))) == was


def test_the_interval_of_a_difference_covers_it() -> None:
    draw = np.random.default_rng(0)
    start, hits = measured(oct=[0.25] * 100), 0
    for _ in range(200):
        change, _ = compare(start, measured(oct=draw.random(100).tolist()))
        assert change.low <= change.difference <= change.high
        hits += change.low <= 0.25 <= change.high
    assert 180 <= hits <= 199
