"""Training and tuning data of the sample models are disjoint from the held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from repic.sample import hard_cases
from repic.sample.backgrounds import HARD_PLACES, PLACES
from repic.sample.identities import HARD_IDENTITIES, IDENTITIES, RESERVED
from repic.sample.world import WorldPhoto
from tools.sample_models import holdout, training_data


def test_every_identity_of_builds_is_either_learned_or_kept_for_tuning() -> None:
    assert {*training_data.LEARNED, *training_data.TUNING} == set(IDENTITIES)
    assert not {*training_data.LEARNED} & {*training_data.TUNING}
    assert 0.03 < len(training_data.TUNING) / len(IDENTITIES) < 0.07


def test_nothing_is_learned_or_tuned_on_what_is_kept_for_evaluation() -> None:
    used = {*training_data.LEARNED, *training_data.TUNING}
    assert not used & {*RESERVED}
    assert not used & {*HARD_IDENTITIES}
    for kind in hard_cases.KINDS:
        assert not used & {one for plan in hard_cases.dataset(kind, 12) for one in plan.identities}
    assert not used & {*holdout.gallery()}


@pytest.mark.parametrize(
    "photos",
    [lambda: training_data.training_photos(3, 40), lambda: training_data.tuning_photos(40)],
    ids=["training", "tuning"],
)
def test_photos_show_known_identities_in_known_places(
    photos: Callable[[], Iterable[WorldPhoto]],
) -> None:
    taken = list(photos())
    assert len(taken) == 40
    assert {photo.background for photo in taken} <= set(PLACES) - set(HARD_PLACES)
    shown = {item.identity for photo in taken for item in photo.objects}
    assert shown <= {*training_data.LEARNED} or shown <= {*training_data.TUNING}


def test_worlds_of_training_of_tuning_and_of_the_exam_are_different() -> None:
    least, most = training_data.FIRST_WORLD, training_data.FIRST_WORLD + 10_000
    assert not least <= training_data.TUNING_WORLD <= most
    assert not least <= holdout.WORLD <= most
    assert training_data.TUNING_WORLD != holdout.WORLD


def test_alike_gives_families_of_learned_identities() -> None:
    chosen = training_data.alike(round_index=1, families=5, members=6)
    assert len(chosen) == len(set(chosen)) == 30
    assert len({(one.category, one.colour) for one in chosen}) == 5
    assert set(chosen) <= {*training_data.LEARNED}
    assert chosen == training_data.alike(round_index=1, families=5, members=6)
    assert chosen != training_data.alike(round_index=2, families=5, members=6)
