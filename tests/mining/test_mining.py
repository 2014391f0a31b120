"""Mined groups, positives and negatives on collections with known identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic import mining
from repic.mining.negatives import REACH
from tests.timing import is_within


def world(
    sizes: list[int], seed: int = 0, categories: int = 6, noise: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and identities; identities are around categories, photos around identities."""
    random = np.random.default_rng(seed)
    identity = np.repeat(np.arange(len(sizes)), sizes)
    kinds = 0.8 * random.normal(size=(categories, 64))[np.arange(len(sizes)) % categories]
    things = kinds + 0.7 * random.normal(size=(len(sizes), 64))
    vectors = things[identity] + noise * random.uniform(
        0.6, 1.2, (len(identity), 1)
    ) * random.normal(size=(len(identity), 64))
    return (
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
        identity,
    )


def look(vectors: np.ndarray, identity: np.ndarray | None = None) -> mining.Analysis:
    n = len(vectors)
    return mining.analyze(
        vectors, np.arange(n), np.arange(n), np.full(n, -1) if identity is None else identity
    )


def quality(analysis: mining.Analysis, truth: np.ndarray) -> tuple[float, float]:
    pairs = mining.all_positives(analysis)
    right = truth[pairs.anchor] == truth[pairs.other]
    sizes = np.bincount(truth)
    return right.mean(), right.sum() / (sizes * (sizes - 1) // 2).sum()


def keys(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def draw(
    analysis: mining.Analysis, seed: int = 0, split: np.ndarray | None = None
) -> mining.ObjectPairs:
    n = len(analysis)
    nothing = np.zeros(n, dtype=np.int64)
    split = nothing if split is None else split
    return mining.negatives(analysis, nothing, split, keys(n, seed), hard=2, medium=1, easy=1)


@pytest.mark.parametrize("photos", [2, 3, 5, 20])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_group_size_comes_from_the_data(photos: int, seed: int) -> None:
    vectors, truth = world([photos] * 40, seed)
    analysis = look(vectors)
    precision, recall = quality(analysis, truth)
    assert analysis.mined.typical_size == photos
    # One wrong pair of forty is 0.975.
    assert precision >= (0.97 if photos == 2 else 0.98)
    assert recall >= 0.75


@pytest.mark.parametrize("photos", [2, 3, 5])
@pytest.mark.parametrize("things", [15, 40])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clear_categories_are_not_taken_for_things(photos: int, things: int, seed: int) -> None:
    vectors, truth = world([photos] * things, seed, noise=0.5)
    analysis = look(vectors)
    precision, recall = quality(analysis, truth)
    assert analysis.mined.typical_size == photos
    assert precision >= 0.98
    assert recall >= 0.98


@pytest.mark.parametrize("noise", [0.5, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_to_six_photos_each(noise: float, seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 7, 40).tolist()
    vectors, truth = world(sizes, seed, noise=noise)
    precision, recall = quality(look(vectors), truth)
    assert precision >= 0.9
    assert recall >= 0.8


def test_a_thing_may_have_a_hundred_photos() -> None:
    vectors, truth = world([100] * 6)
    analysis = look(vectors)
    precision, recall = quality(analysis, truth)
    assert analysis.mined.typical_size == 100
    assert precision >= 0.98
    assert recall >= 0.95
    rows = draw(analysis)
    assert (truth[rows.anchor] == truth[rows.other]).mean() <= 0.01


def test_mixed_group_sizes_and_objects_that_have_no_partner() -> None:
    vectors, truth = world([1] * 10 + [2] * 10 + [4] * 10 + [8] * 10)
    precision, recall = quality(look(vectors), truth)
    assert precision >= 0.95
    assert recall >= 0.75


@pytest.mark.parametrize("dim", [16, 64, 512])
@pytest.mark.parametrize("n", [60, 500])
def test_noise_gives_no_pairs_at_all(n: int, dim: int) -> None:
    random = np.random.default_rng(n).normal(size=(n, dim))
    analysis = look(random / np.linalg.norm(random, axis=1, keepdims=True))
    assert analysis.mined.typical_size == 1
    assert len(mining.all_positives(analysis)) == 0
    assert len(draw(analysis)) == 0


def test_hard_negatives_are_near_but_true_and_bands_are_in_order() -> None:
    vectors, truth = world([5] * 40)
    rows = draw(look(vectors))
    assert (truth[rows.anchor] == truth[rows.other]).mean() <= 0.005
    assert rows.mined.all()
    means = [rows.percentile[rows.band == band].mean() for band in range(3)]
    assert means[mining.EASY] < 50 < means[mining.MEDIUM] < 91 < means[mining.HARD]
    assert np.bincount(rows.anchor[rows.band == mining.HARD]).tolist() == [2] * 200


def test_labels_decide_and_no_pair_contradicts_them() -> None:
    vectors, truth = world([5] * 20, noise=2.0)
    analysis = look(vectors, truth)
    pairs = mining.all_positives(analysis)
    assert len(pairs) == 20 * 10
    assert (truth[pairs.anchor] == truth[pairs.other]).all()
    assert not pairs.mined.any()
    rows = draw(analysis)
    assert (truth[rows.anchor] != truth[rows.other]).all()
    assert not rows.mined.any()


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_partial_labels_are_never_contradicted(seed: int, share: float) -> None:
    vectors, truth = world([4] * 15, seed, noise=1.0)
    random = np.random.default_rng(seed)
    known = np.where(random.random(len(truth)) < share, truth, -1)
    analysis = look(vectors, known)
    for group in np.unique(analysis.group):
        assert len(set(known[analysis.group == group]) - {-1}) <= 1
    for identity in set(known) - {-1}:
        assert len(set(analysis.group[known == identity])) == 1
    pairs, rows = mining.all_positives(analysis), draw(analysis, seed)
    both = (known[pairs.anchor] >= 0) & (known[pairs.other] >= 0)
    assert (both == ~pairs.mined).all()
    assert (known[pairs.anchor] == known[pairs.other])[both].all()
    assert (analysis.group[pairs.anchor] == analysis.group[pairs.other]).all()
    assert (analysis.group[rows.anchor] != analysis.group[rows.other]).all()


def test_labels_of_some_raise_the_recall_of_the_rest() -> None:
    vectors, truth = world([5] * 30, noise=1.0)
    known = np.where(np.arange(len(truth)) % 5 < 2, truth, -1)
    assert quality(look(vectors, known), truth)[1] > quality(look(vectors), truth)[1]


def test_pairs_never_join_one_photo_or_near_duplicates() -> None:
    vectors, truth = world([6] * 12)
    photo = np.arange(len(truth)) // 2
    duplicate = photo // 2
    for identity in (truth, np.full(len(truth), -1)):
        analysis = mining.analyze(vectors, photo, duplicate, identity)
        for pairs in (mining.all_positives(analysis), draw(analysis)):
            assert len(pairs)
            assert (duplicate[pairs.anchor] != duplicate[pairs.other]).all()


def test_most_negatives_stay_when_photos_are_added() -> None:
    vectors, _ = world([5] * 60)
    old, key = np.delete(np.arange(300), np.arange(0, 300, 100)), keys(300)

    def names(part: np.ndarray) -> dict[int, set[tuple[int, int]]]:
        zero = np.zeros(len(part), dtype=np.int64)
        analysis = look(vectors[part])
        rows = mining.negatives(analysis, zero, zero, key[part], hard=2, medium=1, easy=1)
        pairs = np.stack([part[rows.anchor], part[rows.other]], 1)
        return {band: {(a, b) for a, b in pairs[rows.band == band].tolist()} for band in range(3)}

    before, after = names(old), names(np.arange(300))
    for band in range(3):
        assert len(before[band] & after[band]) > 0.6 * len(before[band])


def test_bursts_of_near_duplicates_do_not_break_up_a_thing() -> None:
    vectors, truth = world([5] * 30)
    duplicate = np.arange(150) - np.minimum(np.arange(150) % 5, 2)
    analysis = mining.analyze(vectors, np.arange(150), duplicate, np.full(150, -1))
    pairs = mining.all_positives(analysis)
    right = truth[pairs.anchor] == truth[pairs.other]
    assert right.mean() >= 0.98
    assert right.sum() >= 0.9 * 30 * 7


def test_negatives_stay_within_their_split_and_leave_out_what_has_none() -> None:
    vectors, truth = world([5] * 40)
    split = np.repeat([0, 0, 0, 1, -1], 40)
    rows = draw(look(vectors), split=split)
    assert (split[rows.anchor] == split[rows.other]).all()
    assert set(split[rows.anchor]) == {0, 1}
    assert (truth[rows.anchor] == truth[rows.other]).mean() <= 0.01


def test_hard_negatives_prefer_the_same_label() -> None:
    vectors, truth = world([5] * 30, categories=2)
    label = np.random.default_rng(0).integers(0, 2, len(truth))
    analysis = look(vectors, truth)
    zero = np.zeros(len(truth), dtype=np.int64)
    rows = mining.negatives(analysis, label, zero, keys(len(truth)), hard=2, medium=0, easy=0)
    assert (label[rows.anchor] == label[rows.other]).mean() > 0.9


def test_an_object_with_two_names_is_doubtful_and_so_is_a_wrong_label() -> None:
    vectors, truth = world([6] * 20)
    named = truth.copy()
    named[3:6] = 20
    named[6] = 12
    analysis = look(vectors, named)
    rows = draw(analysis)
    doubtful = rows.take(rows.doubtful)
    assert len(doubtful)
    assert (truth[doubtful.anchor] == truth[doubtful.other]).all()
    pairs = mining.all_positives(analysis)
    assert (pairs.doubtful == (pairs.percentile < 50)).all()
    wrong = pairs.take(truth[pairs.anchor] != truth[pairs.other])
    assert wrong.doubtful.any()


def test_chosen_positives_are_bounded_and_reach_from_unlike_to_alike() -> None:
    vectors, truth = world([12] * 10)
    pairs = mining.all_positives(look(vectors, truth))
    chosen = mining.choose(pairs, 4, keys(len(truth)))
    kept = chosen.take(~chosen.doubtful)
    assert np.bincount(kept.anchor).max() == 4
    assert set(kept.anchor) == set(range(len(truth)))
    first = kept.take(kept.anchor == 0)
    mine_all = pairs.take((pairs.anchor == 0) & ~pairs.doubtful)
    assert first.similarity.min() == mine_all.similarity.min()
    assert np.ptp(first.similarity) > np.ptp(mine_all.similarity) / 3


def test_most_positives_stay_when_photos_are_added() -> None:
    vectors, truth = world([12] * 25)
    old, key = np.delete(np.arange(300), np.arange(0, 300, 12)), keys(300)

    def chosen(part: np.ndarray) -> set[tuple[int, int]]:
        pairs = mining.choose(mining.all_positives(look(vectors[part], truth[part])), 4, key[part])
        return set(zip(part[pairs.anchor].tolist(), part[pairs.other].tolist(), strict=True))

    before, after = chosen(old), chosen(np.arange(300))
    # One partner in eleven is new to each anchor, which keeps four.
    assert len(before & after) > 0.85 * len(before)


def test_a_large_identity_is_sampled_evenly() -> None:
    vectors, truth = world([150, 3])
    pairs = mining.all_positives(look(vectors, truth))
    degree = np.bincount(np.concatenate([pairs.anchor, pairs.other]), minlength=153)
    assert degree[:150].min() >= 60
    assert degree[:150].max() <= 64
    assert degree[150:].tolist() == [2, 2, 2]


def test_margin_is_similarity_above_what_is_around() -> None:
    vectors, truth = world([5] * 30)
    analysis = look(vectors, truth)
    pairs = mining.all_positives(analysis)
    around = (analysis.background[pairs.anchor] + analysis.background[pairs.other]) / 20_000
    assert pairs.margin == pytest.approx(pairs.similarity - around, abs=1e-4)
    assert np.median(pairs.margin) > 0


def test_the_same_input_gives_the_same_pairs() -> None:
    vectors, _ = world([3, 4, 5] * 15)
    one, other = (draw(look(vectors), seed=7) for _ in range(2))
    assert all((getattr(one, f) == getattr(other, f)).all() for f in one.__dataclass_fields__)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_collection_may_be_tiny(n: int) -> None:
    vectors, truth = world([1] * n) if n else (np.empty((0, 64), np.float16), np.empty(0, int))
    for identity in (truth, np.full(n, -1)):
        analysis = look(vectors, identity)
        assert analysis.group.tolist() == list(range(n)) or identity[0] == -1
        assert len(mining.choose(mining.all_positives(analysis), 4, keys(len(analysis)))) <= n
        draw(analysis)


def test_wrong_arguments_say_what_is_wrong() -> None:
    vectors, truth = world([2, 2])
    with pytest.raises(ValueError, match="one photo"):
        mining.analyze(vectors, truth[:1], truth, truth)
    with pytest.raises(ValueError, match="near-duplicate group"):
        mining.analyze(vectors, np.zeros(4), np.arange(4), truth)


def test_two_thousand_objects_take_about_a_second() -> None:
    vectors, _ = world([5] * 400)
    analysis = look(vectors)

    def mine() -> None:
        analysis = look(vectors)
        mining.choose(mining.all_positives(analysis), 4, keys(len(analysis)))
        draw(analysis)

    # The target is 1 s on two idle cores; a shared machine gets room.
    assert is_within(5, mine)
    assert REACH * analysis.mined.typical_size < analysis.near.index.shape[1]
