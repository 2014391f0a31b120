"""What the models of the world have learned from: never what they are examined on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from repic.sample import exam, hard, lessons
from repic.sample.backgrounds import HARD_PLACES, PLACES
from repic.sample.identities import HARD_IDENTITIES, IDENTITIES, RESERVED
from repic.sample.world import WorldPhoto


def test_every_identity_of_builds_is_either_learned_or_kept_for_tuning() -> None:
    assert {*lessons.LEARNED, *lessons.TUNING} == set(IDENTITIES)
    assert not {*lessons.LEARNED} & {*lessons.TUNING}
    assert 0.03 < len(lessons.TUNING) / len(IDENTITIES) < 0.07


def test_nothing_is_learned_or_tuned_on_what_is_kept_for_evaluation() -> None:
    seen = {*lessons.LEARNED, *lessons.TUNING}
    assert not seen & {*RESERVED}
    assert not seen & {*HARD_IDENTITIES}
    for kind in hard.KINDS:
        assert not seen & {one for plan in hard.dataset(kind, 12) for one in plan.identities}
    assert not seen & {*exam.gallery()}


@pytest.mark.parametrize(
    "photos",
    [lambda: lessons.training_photos(3, 40), lambda: lessons.tuning_photos(40)],
    ids=["training", "tuning"],
)
def test_photos_show_known_identities_in_known_places(
    photos: Callable[[], Iterable[WorldPhoto]],
) -> None:
    taken = list(photos())
    assert len(taken) == 40
    assert {photo.background for photo in taken} <= set(PLACES) - set(HARD_PLACES)
    shown = {seen.identity for photo in taken for seen in photo.objects}
    assert shown <= {*lessons.LEARNED} or shown <= {*lessons.TUNING}


def test_worlds_of_training_of_tuning_and_of_the_exam_are_different() -> None:
    least, most = lessons.FIRST_WORLD, lessons.FIRST_WORLD + 10_000
    assert not least <= lessons.TUNING_WORLD <= most
    assert not least <= exam.WORLD <= most
    assert lessons.TUNING_WORLD != exam.WORLD


def test_alike_gives_families_of_learned_identities() -> None:
    chosen = lessons.alike(lesson=1, families=5, members=6)
    assert len(chosen) == len(set(chosen)) == 30
    assert len({(one.category, one.colour) for one in chosen}) == 5
    assert set(chosen) <= {*lessons.LEARNED}
    assert chosen == lessons.alike(lesson=1, families=5, members=6)
    assert chosen != lessons.alike(lesson=2, families=5, members=6)
