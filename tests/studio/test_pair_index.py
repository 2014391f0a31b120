"""The order of pairs, and pages by keyset: none is lost or shown twice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from repic.studio.pair_index import CODED, PairFilter, PairIndex

COUNT = 700


def table(count: int = COUNT, seed: int = 0) -> pa.Table:
    """Random pairs, many of the same similarity."""
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {
        name: pa.array([values[i] for i in random.integers(0, len(values), count)], pa.string())
        for name, values in CODED.items()
    }
    columns["review"] = pa.nulls(count, pa.string())
    columns["pair_id"] = pa.array([f"{i:032x}" for i in random.permutation(count)], pa.string())
    columns["similarity"] = pa.array(random.integers(-20, 20, count) / 20, pa.float32())
    columns["percentile"] = columns["margin"] = pa.array(np.zeros(count), pa.float32())
    columns["same_label"] = [True] * count
    columns["doubtful"] = random.random(count) < 0.1
    return pa.table(columns)


def index(rows: pa.Table) -> PairIndex:
    numbers = np.arange(rows.num_rows)
    return PairIndex(rows, numbers, numbers)


def rank(row: dict) -> tuple:
    group = 0 if row["doubtful"] else 1 if row["kind"] == "negative" else 2
    sign = -1 if row["kind"] == "negative" else 1
    return group, sign * round(row["similarity"], 4), row["pair_id"]


def ids(pairs: PairIndex, places: list[int]) -> list[str]:
    return [pairs.row(place)["pair_id"] for place in places]


@pytest.mark.parametrize("size", [1, 7, 100, COUNT, COUNT + 1])
def test_pages_show_every_pair_once_in_order(size: int) -> None:
    rows = table()
    pairs = index(rows)
    fits = pairs.matching(PairFilter())
    seen: list[str] = []
    after = ""
    while True:
        page = pairs.page(fits, size, after=after)
        assert page.total == COUNT
        assert page.before is bool(seen)
        seen += ids(pairs, page.places)
        if not page.after:
            break
        after = pairs.cursor(page.places[-1])
    assert seen == [row["pair_id"] for row in sorted(rows.to_pylist(), key=rank)]


def test_the_way_back_is_the_way_there() -> None:
    pairs = index(table())
    fits = pairs.matching(PairFilter(kind="negative", split="test"))
    first = pairs.page(fits, 10)
    second = pairs.page(fits, 10, after=pairs.cursor(first.places[-1]))
    back = pairs.page(fits, 10, before=pairs.cursor(second.places[0]))
    assert back == first
    assert not back.before
    assert all(pairs.row(p)["split"] == "test" for p in second.places)


def test_a_cursor_of_a_pair_that_is_gone_goes_on_where_it_was() -> None:
    rows = table()
    pairs = index(rows)
    everything = pairs.page(pairs.matching(PairFilter()), COUNT).places
    cut = 123
    cursor = pairs.cursor(everything[cut])
    gone = pairs.row(everything[cut])["pair_id"]
    left = index(rows.filter(pa.array([i != gone for i in rows["pair_id"].to_pylist()])))
    page = left.page(left.matching(PairFilter()), 5, after=cursor)
    assert ids(left, page.places) == ids(pairs, everything[cut + 1 : cut + 6])


def test_filters_are_those_of_a_plain_scan() -> None:
    rows = table()
    pairs = index(rows)
    ends = tuple(range(0, COUNT, 3))
    wanted = PairFilter("positive", "hard", "", "mined", "no", -0.5, 0.5, ends)
    found = set(ids(pairs, pairs.page(pairs.matching(wanted), COUNT).places))
    assert found == {
        row["pair_id"]
        for number, row in enumerate(rows.to_pylist())
        if (row["kind"], row["band"], row["origin"]) == ("positive", "hard", "mined")
        and not row["doubtful"]
        and -0.5 <= row["similarity"] <= 0.5
        and number in ends
    }
    assert found


def test_places_of_ids() -> None:
    pairs = index(table())
    place = pairs.place(f"{5:032x}")
    assert place is not None
    assert pairs.row(place)["pair_id"] == f"{5:032x}"
    assert pairs.place("nobody") is None
    assert pairs.places(["nobody", f"{5:032x}"]).tolist() == [-1, place]
    assert pairs.place("x" * 200) is None


@pytest.mark.parametrize("cursor", ["", "x", "1", "-", "99999999-zz", "²-a", "1" * 40 + "-a"])
def test_any_text_is_a_cursor(cursor: str) -> None:
    pairs = index(table(20))
    pairs.page(pairs.matching(PairFilter()), 5, after=cursor)
    pairs.page(pairs.matching(PairFilter()), 5, before=cursor)


def test_no_pairs() -> None:
    pairs = index(table(0))
    page = pairs.page(pairs.matching(PairFilter(kind="positive")), 5, after="3-a")
    assert (page.places, page.total, page.before, page.after) == ([], 0, False, False)
    assert pairs.place("a") is None


def test_two_pairs_of_the_same_objects_are_shown_once() -> None:
    rows = table(6)
    rows = rows.set_column(rows.column_names.index("band"), "band", pa.array(["easy"] * 6))
    ends = np.array([[0, 1], [1, 0], [2, 3], [-1, 4], [4, -1], [3, 2]])
    pairs = PairIndex(rows, ends[:, 0], ends[:, 1])
    found = {tuple(sorted((int(pairs.anchor[p]), int(pairs.other[p])))): p for p in range(6)}
    assert len(found) == 3
    fits = pairs.matching(PairFilter())
    shown = np.flatnonzero(fits).tolist()
    assert len(shown) == 4, "pairs without an object are their own"
    for place in shown:
        mirror = pairs.mirror[place]
        if min(pairs.anchor[place], pairs.other[place]) >= 0:
            assert pairs.mirror[mirror] == place > -1
            assert not fits[mirror]
            assert place < mirror
        else:
            assert mirror == -1
    assert pairs.matching(PairFilter(band="hard")).sum() == 0
