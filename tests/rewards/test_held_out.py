"""Scores of answers to held-out rows, differences between two models, and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from repic.models.vlm import load
from repic.models.vlm.generate import AnswerGenerator
from repic.objectives.rows import balanced
from repic.rewards.held_out import (
    ALL,
    HeldOutAnswer,
    Measured,
    compare,
    measure_answers,
    shared,
)
from tests.builds import Built
from tests.trained import tiny

__all__ = ["tiny"]


def answers(objective: str, rewards: list[float]) -> list[HeldOutAnswer]:
    return [
        HeldOutAnswer(
            f"{objective}{n}", objective, "x", reward, "right" if reward > 0.5 else "wrong"
        )
        for n, reward in enumerate(rewards)
    ]


def measured(**rewards: list[float]) -> Measured:
    every = tuple(a for name, values in rewards.items() for a in answers(name, values))
    return Measured(every, every)


def test_a_difference_is_of_the_same_rows() -> None:
    before = measured(oct=[0.0, 1.0] * 20, vlt=[0.2] * 10)
    after = measured(oct=[0.5, 1.0] * 20, vlt=[0.2] * 10)
    changes = {(c.how, c.objective): c for c in compare(before, after)}
    oct_ = changes["greedy", "oct"]
    assert (oct_.n, oct_.before, oct_.after) == (40, 0.5, 0.75)
    assert oct_.difference == pytest.approx(0.25)
    assert 0.15 < oct_.low < 0.25 < oct_.high < 0.35
    vlt = changes["sampled", "vlt"]
    assert (vlt.low, vlt.high) == pytest.approx((0, 0))
    every = changes["greedy", ALL]
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


def test_answers_repeat_and_join_their_rows(built: Built, tiny: str) -> None:
    reader = load.reader(tiny)
    model = load.load(reader)
    rows = balanced(built.store.read("examples@latest"), 3)
    generator = AnswerGenerator(
        reader.processor, reader.convention, 4, 5, suppress=(reader.config.image_token_id,)
    )
    first = measure_answers(generator, model, rows, seed=3)
    assert first == measure_answers(generator, model, rows, seed=3)
    other = measure_answers(generator, model, rows, seed=4)
    assert first.greedy == other.greedy
    assert first.sampled != other.sampled
    assert [a.example_id for a in first.greedy] == [row["example_id"] for row in rows]
    gone = {**rows[0], "images": [{**p, "uri": "file:///gone.jpg"} for p in rows[0]["images"]]}
    fresh = AnswerGenerator(reader.processor, reader.convention, 4, 5)
    assert [a.example_id for a in measure_answers(fresh, model, [gone, *rows[1:]]).greedy] == [
        row["example_id"] for row in rows[1:]
    ]
    means = first.as_json()["means"]["greedy"]
    assert {name: values["n"] for name, values in means.items()} == {"ict": 3, "oct": 3, "vlt": 3}
