"""Bootstrap and permutation test: known answers, coverage, clusters, speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repic.evaluation.intervals import MAX_GROUPS, bootstrap_intervals, paired_test, sum_by_photo
from repic.evaluation.results import ComparedScore, plot
from repic.evaluation.score import ALL
from tests.timing import is_within


def shares(values: dict[str, list[float]]) -> list[tuple[str, tuple[float], tuple[float]]]:
    return [(photo, (v,), (1.0,)) for photo, row in values.items() for v in row]


def test_sums_are_by_photo() -> None:
    sums = sum_by_photo(shares({"b": [1, 0], "a": [1]}), 1)
    assert sums.photos == ["a", "b"]
    assert sums.top.tolist() == [[1], [1]]
    assert sums.bottom.tolist() == [[1], [2]]
    assert (sums.rows, sums.values) == (3, [2 / 3])


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.5, 0.1, 400)
    sums = sum_by_photo(shares({str(n): [v] for n, v in enumerate(values)}), 1)
    (low, high), *_ = bootstrap_intervals(sums)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_captions_of_one_photo_count_as_one() -> None:
    """Ten copies of each caption leave the interval unchanged."""
    once = {str(n): [float(n % 3 == 0)] for n in range(60)}
    often = {photo: 10 * row for photo, row in once.items()}
    assert bootstrap_intervals(sum_by_photo(shares(often), 1))[0] == pytest.approx(
        bootstrap_intervals(sum_by_photo(shares(once), 1))[0]
    )


def test_many_photos_are_grouped_without_bias() -> None:
    rng = np.random.default_rng(5)
    values = rng.random(5 * MAX_GROUPS)
    sums = sum_by_photo(shares({str(n): [v] for n, v in enumerate(values)}), 1)
    (low, high), *_ = bootstrap_intervals(sums, resamples=2_000)
    assert low is not None
    assert high is not None
    half = 1.96 * values.std() / len(values) ** 0.5
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("photos", [8, 60])
def test_the_permutation_test_keeps_its_level(photos: int) -> None:
    """If there is no difference, p is below 0.1 in about a tenth of all trials."""
    rng = np.random.default_rng(11)
    low = 0
    for trial in range(200):
        a, b = rng.random((2, photos))
        sides = [sum_by_photo(shares({str(n): [v] for n, v in enumerate(x)}), 1) for x in (a, b)]
        p = paired_test(sides[0], sides[1], resamples=400, seed=trial)[0].p
        low += p is not None and p <= 0.1
    assert 6 <= low <= 38


def test_exact_p_of_few_photos() -> None:
    a = sum_by_photo(shares({photo: [0.0] for photo in "abcde"}), 1)
    b = sum_by_photo(shares({photo: [1.0] for photo in "abcde"}), 1)
    assert paired_test(a, b)[0].p == pytest.approx(2 / 32)
    with pytest.raises(ValueError, match="same photos"):
        paired_test(a, sum_by_photo(shares({"z": [1.0]}), 1))


def test_swaps_that_leave_a_side_without_a_number_do_not_lower_p() -> None:
    a = sum_by_photo([("x", (1.0,), (1.0,)), ("y", (0.0,), (0.0,))], 1)
    b = sum_by_photo([("x", (0.0,), (0.0,)), ("y", (0.0,), (1.0,))], 1)
    assert paired_test(a, b)[0].p == 1


def test_what_is_never_asked_has_no_number() -> None:
    sums = sum_by_photo([("a", (0.0,), (0.0,)), ("b", (0.0,), (0.0,))], 1)
    assert sums.values == [None]
    assert bootstrap_intervals(sums) == [(None, None)]
    assert paired_test(sums, sums)[0].p is None


@pytest.mark.parametrize("photos", [340, 100_000])
def test_ten_thousand_resamples_take_less_than_two_seconds(photos: int) -> None:
    rng = np.random.default_rng(0)
    rows = [(str(n), tuple(rng.random(7)), (1.0,) * 7) for n in range(photos)]
    sums = sum_by_photo(rows, 7)
    # CPU seconds of up to two threads; benchmarks/bootstrap_speed.py measures wall-clock time.
    assert is_within(4, lambda: bootstrap_intervals(sums))


def test_a_plot_of_captions_that_all_score_alike(tmp_path: Path) -> None:
    [value] = sum_by_photo(shares({str(n): [2 / 3] for n in range(24)}), 1).estimates(("caption",))
    path = tmp_path / "plot.png"
    plot(path, [ComparedScore("pal", "evaluation@v1", "wrong", ALL, "f1", value, None)])
    assert path.read_bytes().startswith(b"\x89PNG")
