"""Selection of what a page shows, and its histogram."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from repic.report.charts import BANDS, MAX_BINS, histogram
from repic.report.dataset import find
from repic.report.pairs import pairs_section
from repic.report.pictures import diverse, evenly_spaced
from storage.store import Store
from tests.report import builds


@given(st.lists(st.integers(), unique=True), st.integers(1, 20))
def test_spread_keeps_order_and_both_ends(items: list[int], count: int) -> None:
    chosen = evenly_spaced(items, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(items))
    assert chosen == [item for item in items if item in chosen]
    if count > 1 and items:
        assert (chosen[0], chosen[-1]) == (items[0], items[-1])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True), st.integers(1, 9))
def test_varied_repeats_a_part_only_for_want_of_others(
    items: list[tuple[int, int]], count: int
) -> None:
    chosen = diverse(items, count, lambda item: item)
    assert len(chosen) == min(count, len(items))
    assert chosen == [item for item in items if item in chosen]
    apart = diverse(items, len(items), lambda item: item)
    assert sorted(apart) == sorted(items)
    assert chosen[:1] == items[:1]


def test_varied_prefers_new_parts() -> None:
    assert diverse([(1, 2), (2, 3), (3, 4), (5, 6)], 3, lambda item: item) == [
        (1, 2),
        (3, 4),
        (5, 6),
    ]


similarities = st.lists(st.integers(-10_000, 10_000).map(lambda n: n / 10_000), max_size=50)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(("positive", "negative")), st.sampled_from(BANDS)), similarities
    )
)
def test_a_histogram_loses_no_pair_and_stays_in_its_frame(
    similarity: dict[tuple[str, str], list[float]],
) -> None:
    chart = histogram({group: np.array(v, np.float32) for group, v in similarity.items()})
    total = sum(map(len, similarity.values()))
    if chart is None:
        assert total == 0
        return
    assert sum(int(bar.title.split(": ")[1].split()[0]) for bar in chart.bars) == total
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= 100 + 1e-6
        assert 0 <= bar.y <= bar.y + bar.height <= 100 + 1e-6
        above = bar.y + bar.height <= 50 + 1e-6
        assert above if bar.style.startswith("positive") else bar.y >= 50 - 1e-6
    assert len({bar.x for bar in chart.bars}) <= MAX_BINS
    assert all(0 <= tick.x <= 100 + 1e-6 for tick in chart.ticks)
    assert len(chart.ticks) <= 12


def test_galleries(store: Store, rows: builds.Rows) -> None:
    positives = [pair for pair in rows.pairs if pair["kind"] == "positive"]
    hard = [pair for pair in rows.pairs if pair["band"] == "hard"]
    for pair in (positives[0], positives[1], positives[2], hard[0]):
        pair["doubtful"] = True
    positives[1]["review"], positives[2]["review"] = "accept", "reject"
    builds.publish(store, rows)
    section = pairs_section(find(store, "dataset@latest"))
    gallery = [card.row for card in section.gallery]
    assert [row["similarity"] for row in gallery] == sorted(row["similarity"] for row in gallery)
    ids = {row["pair_id"] for row in gallery}
    assert positives[0]["pair_id"] not in ids
    assert positives[2]["pair_id"] not in ids
    assert {card.row["pair_id"] for card in section.doubtful} == {
        positives[0]["pair_id"],
        hard[0]["pair_id"],
    }
    hardest = [card.row["similarity"] for card in section.hardest]
    assert hardest == sorted(hardest, reverse=True)
    assert len(hardest) == len(hard) - 1
    assert (section.waiting, section.reviewed) == (2, 2)
    assert sum(group.count for group in section.bands) == section.count == len(rows.pairs)
