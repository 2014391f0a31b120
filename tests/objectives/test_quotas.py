"""Shares of kinds, where some have too few items."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from repic.config import ExampleSettings
from repic.objectives import build
from repic.objectives.quotas import by_shares
from tests.objectives.tables import labelled_build

KINDS = ("a", "b", "c")
sizes = st.fixed_dictionaries({kind: st.integers(0, 30) for kind in KINDS})
weights = st.fixed_dictionaries({kind: st.sampled_from((0.0, 0.2, 1.0)) for kind in KINDS})


@given(sizes, weights, st.integers(0, 100))
def test_as_many_as_wanted_are_chosen_if_there_are_as_many(
    size: dict[str, int], shares: dict[str, float], wanted: int
) -> None:
    items = {kind: 100 * i + np.arange(size[kind]) for i, kind in enumerate(KINDS)}
    chosen = by_shares(items, shares, wanted).tolist()
    available = sum(size[kind] for kind in KINDS if shares[kind])
    assert len(chosen) == len(set(chosen)) == min(wanted, available)
    for i, kind in enumerate(KINDS):
        of_kind = [item for item in chosen if item // 100 == i]
        assert of_kind == items[kind][: len(of_kind)].tolist()


def test_shares_are_met_and_what_lacks_goes_to_the_others() -> None:
    many = {kind: np.full(100, i) for i, kind in enumerate(KINDS)}
    shares = {"a": 0.7, "b": 0.2, "c": 0.1}
    assert len(by_shares({"a": many["a"]}, shares, 50)) == 50
    assert np.bincount(by_shares(many, shares, 100)).tolist() == [70, 20, 10]
    short = by_shares(many | {"a": many["a"][:10]}, shares, 100)
    assert np.bincount(short).tolist() == [10, 60, 30]


def test_kinds_of_captions_have_their_shares_where_rows_are_chosen() -> None:
    world = labelled_build(40, 4)
    kinds = {"single": 0.8, "multi": 0.2}
    settings = ExampleSettings(total=200, shares={"oct": 0.5, "ict": 0.5}, ict={"shares": kinds})
    rows, _ = build(*world.tables, settings)
    counts = Counter(row["kind"] for row in rows if row["objective"] == "ict")
    assert counts == {"single": 80, "multi": 20}
