from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.config import SplitSettings
from repic.mining.splits import split_of
from repic.sample import composition, hard_cases, rendering, shapes, sprites
from repic.sample.__main__ import main
from repic.sample.backgrounds import HARD_PLACES, PLACES, texture
from repic.sample.identities import (
    ACCESSORIES,
    CATEGORIES,
    COLOURS,
    HARD_CATEGORIES,
    HARD_IDENTITIES,
    IDENTITIES,
    PATTERNS,
    RESERVED,
    SECOND_COLOURS,
    Identity,
    grid,
)
from repic.sample.world import World, WorldObject
from tests.timing import is_within

SIZE = 112
WORLD = World(SIZE)
MUG = Identity("mug", "red", "stripes", "white", "bow")
BALL = Identity("ball", "blue")


def pool(name: str) -> str:
    return split_of(name, SplitSettings.model_validate({}))


def _family(first: Identity) -> list[Identity]:
    return [first, *first.look_alikes()]


@st.composite
def companies(draw: st.DrawFn) -> list[Identity]:
    """One to four identities, often look-alikes, so that phrases are put to the test."""
    first = draw(st.sampled_from(grid(CATEGORIES + HARD_CATEGORIES)))
    others = st.one_of(st.sampled_from(_family(first)), st.sampled_from(IDENTITIES))
    return draw(
        st.lists(others, min_size=0, max_size=3, unique=True).map(
            lambda rest: [first, *(i for i in rest if i != first)]
        )
    )


seeds = st.integers(0, 2**40)
many = settings(max_examples=120)


# Identities


def test_there_are_thousands_of_identities_with_unique_names() -> None:
    everyone = IDENTITIES + RESERVED + HARD_IDENTITIES
    assert len({i.name for i in everyone}) == len(everyone)
    assert len(IDENTITIES) > 3000
    assert {i.category for i in IDENTITIES} == set(CATEGORIES)
    assert not set(IDENTITIES) & set(RESERVED)


def test_names_and_phrases_are_stable() -> None:
    assert (MUG.name, MUG.phrase) == (
        "mug-red-stripes-white-bow",
        "red mug with white stripes and a bow",
    )
    assert (BALL.name, BALL.phrase) == ("ball-blue-plain", "plain blue ball")
    names = "\n".join(i.name for i in IDENTITIES)
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == "ead3a1a01240adba"


def test_look_alikes_differ_in_one_attribute() -> None:
    assert len(MUG.look_alikes()) == 7 + 8 + 3
    assert all(MUG.differences(other) == 1 for other in MUG.look_alikes())


# Pictures


def test_every_category_and_accessory_can_be_drawn() -> None:
    for category in CATEGORIES + HARD_CATEGORIES:
        for accessory in (None, *ACCESSORIES):
            drawing = shapes.draw(category, accessory, 224)
            body = (drawing.materials == shapes.SpriteMaterial.BODY).mean()
            assert body > 0.1, f"{category} has little room for a pattern"
            assert drawing.accessory.any() == (accessory is not None)
            edge = np.concatenate([drawing.materials[[0, -1]], drawing.materials[:, [0, -1]].T])
            assert not edge.any(), f"{category} with {accessory} leaves its canvas"


def test_every_pattern_shows_both_colours() -> None:
    for name in PATTERNS:
        assert 0.2 < shapes.pattern(name, 224).mean() < 0.6
    with pytest.raises(ValueError, match="no pattern"):
        shapes.pattern("tartan", 224)


def test_a_flip_mirrors_and_a_turn_is_clockwise() -> None:
    plain = sprites.patch(MUG, sprites.Pose(60), 112).mask
    flipped = sprites.patch(MUG, sprites.Pose(60, flip=True), 112).mask
    assert (plain != flipped[:, ::-1]).mean() < 0.02
    top = Identity("bottle", "red")
    turned = sprites.patch(top, sprites.Pose(60, degrees=20), 112).mask
    neck = np.flatnonzero(turned[3]).mean()
    assert neck > turned.shape[1] / 2


def test_all_backgrounds_differ_and_an_unknown_one_is_refused() -> None:
    pictures = [texture(n, 112, 0, v).tobytes() for n in [*PLACES, *HARD_PLACES] for v in (0, 1)]
    assert len(set(pictures)) == len(pictures)
    with pytest.raises(ValueError, match="one of: grass"):
        WORLD.photo([MUG], 0, "moon")


def test_a_mask_covers_the_colour_of_its_object() -> None:
    for seed in range(20):
        photo = WORLD.photo([Identity("ball", "red")], seed, "grass")
        red = np.asarray(photo.image).astype(int)
        red = (red[..., 0] > 2 * red[..., 1]) & (red[..., 0] > 90)
        mask = photo.objects[0].mask
        assert red[mask].mean() > 0.6
        assert red[~mask].mean() < 0.02


# Photos


def _digest(world: World) -> str:
    digest = hashlib.sha256()
    for plan in world.dataset(12, 8, pool):
        photo = world.take(plan)
        digest.update(photo.image.tobytes())
        digest.update(repr([photo.caption, [o.box for o in photo.objects]]).encode())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = "from tests.sample.test_world import WORLD, _digest; print(_digest(WORLD))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "7"},
    )
    assert ran.stdout.strip() == _digest(WORLD)
    assert _digest(World(SIZE, seed=1)) != _digest(WORLD)


def test_what_a_photo_shows_changes_only_with_the_version() -> None:
    photo = WORLD.photo([MUG, BALL], 3)
    assert (
        photo.caption.text
        == "Here we see a plain blue ball and a red mug with white stripes on water."
    )
    assert [o.box.as_list() for o in photo.objects] == [
        [38.0, 43.0, 95.0, 103.0],
        [9.0, 2.0, 66.0, 48.0],
    ]


def test_another_seed_is_another_view() -> None:
    views = [WORLD.photo([MUG], seed) for seed in range(30)]
    assert len({v.image.tobytes() for v in views}) == 30
    assert len({v.background for v in views}) > 5
    assert {True, False} == {o.occluded for v in views for o in v.objects}
    assert {True, False} == {o.truncated for v in views for o in v.objects}


@many
@given(companies(), seeds)
def test_boxes_are_the_tight_boxes_of_what_is_visible(company: list[Identity], seed: int) -> None:
    photo = WORLD.photo(company, seed)
    assert [o.identity for o in photo.objects] == company
    assert photo.image.size == (SIZE, SIZE)
    taken = np.zeros((SIZE, SIZE), int)
    for seen in photo.objects:
        rows, columns = np.nonzero(seen.mask)
        assert seen.box.as_list() == [
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        ]
        assert rendering.MIN_VISIBLE <= seen.visible_share <= 1
        assert (seen.visible_share < 1) == (seen.truncated or seen.occluded)
        taken += seen.mask
    assert taken.max() == 1


# Phrases

_COLOUR = "|".join(COLOURS)
_PHRASE = re.compile(
    rf"the (?:(?P<side>left|right|upper|lower)(?P<most>most)? )?(?P<plain>plain )?"
    rf"(?:(?P<colour>{_COLOUR}) )?(?P<category>\w+)"
    rf"(?: with (?:(?P<second>{'|'.join(SECOND_COLOURS)}) (?P<pattern>{'|'.join(PATTERNS)}))?"
    rf"(?: and )?(?:a (?P<accessory>{'|'.join(ACCESSORIES)}))?)?"
)


def _meant(phrase: str, objects: Sequence[WorldObject]) -> list[WorldObject]:
    """What a reader who knows the truth takes a phrase to mean."""
    match = _PHRASE.fullmatch(phrase)
    assert match, phrase
    matching = [
        o
        for o in objects
        if o.identity.category == match["category"]
        and match["colour"] in (None, o.identity.colour)
        and (not match["plain"] or o.identity.pattern == "plain")
        and match["pattern"] in (None, o.identity.pattern)
        and match["second"] in (None, o.identity.second_colour)
        and match["accessory"] in (None, o.identity.accessory)
    ]
    if not match["side"]:
        return matching
    assert len(matching) > 2 if match["most"] else len(matching) == 2
    axis = 0 if match["side"] in ("left", "right") else 1
    sign = 1 if match["side"] in ("left", "upper") else -1
    middles = [sign * (b[axis] + b[axis + 2]) / 2 for b in (o.box.as_list() for o in matching)]
    first, second = sorted(middles)[:2]
    assert second - first >= 0.15 * SIZE, "left or right of each other, but hardly"
    assert first < sign * SIZE / 2, "the left one is on the right"
    return [o for o, middle in zip(matching, middles, strict=True) if middle == first]


@many
@given(companies(), seeds)
def test_an_expression_points_to_exactly_one_object(company: list[Identity], seed: int) -> None:
    photo = WORLD.photo(company, seed)
    for seen in photo.objects:
        assert len(set(seen.expressions)) == len(seen.expressions)
        for phrase in seen.expressions:
            assert [o.identity for o in _meant(phrase, photo.objects)] == [seen.identity]
            worn = seen.identity.accessory
            assert worn is None or f"a {worn}" not in phrase or seen.shows_accessory


def test_an_expression_is_minimal_and_a_full_one_follows() -> None:
    photo = WORLD.photo([MUG, replace(MUG, colour="blue"), BALL], 1)
    first, _, ball = photo.objects
    assert first.expressions[0] == "the red mug"
    assert ball.expressions[:1] == ("the ball",)
    assert f"the {BALL.phrase}" in ball.expressions
    assert first.shows_accessory == (f"the {MUG.phrase}" in first.expressions)


def test_nothing_is_said_of_what_nothing_tells_apart() -> None:
    bare = replace(MUG, accessory=None)
    dressed = [replace(MUG, accessory=accessory) for accessory in ACCESSORIES]
    expressions = [WORLD.photo([bare, *dressed], seed).objects[0].expressions for seed in range(20)]
    assert () in expressions
    assert all(re.match("the (left|right|upper|lower)most ", e) for es in expressions for e in es)


def test_left_and_right_are_told_where_they_are_clear() -> None:
    pair = [MUG, replace(MUG, colour="blue")]
    phrases = {e for seed in range(30) for e in WORLD.photo(pair, seed).objects[0].expressions}
    assert {"the left mug", "the right mug", "the upper mug", "the lower mug"} <= phrases


@many
@given(companies(), seeds)
def test_a_caption_mentions_every_object_and_the_place(company: list[Identity], seed: int) -> None:
    photo = WORLD.photo(company, seed)
    text = photo.caption.text.lower()
    mentioned = Counter(photo.caption.phrases)
    for phrase, times in mentioned.items():
        assert text.count(phrase) >= times
    for seen, phrase in zip(photo.objects, photo.caption.phrases, strict=True):
        known = seen.identity.describe(accessory=seen.shows_accessory)
        assert phrase.split(" ", 1)[1] == known
    assert {**PLACES, **HARD_PLACES}[photo.background] in text
    names = {i: f"<Name{i}>" for i in range(len(company))}
    named = photo.caption.named(names)
    assert all(named.count(name) == 1 for name in names.values())
    assert not any(re.search(rf"\b{identity.category}\b", named) for identity in company)


def test_left_of_in_a_caption_is_true() -> None:
    count = 0
    for seed in range(80):
        photo = WORLD.photo([MUG, BALL], seed)
        if "to the left of" in photo.caption.text:
            count += 1
            mug, ball = (o.box for o in photo.objects)
            mug_first = photo.caption.template.startswith("{0}")
            assert (mug.x1 + mug.x2 < ball.x1 + ball.x2) == mug_first
    assert count > 2


# Data sets


def _views(plans: Sequence[composition.PhotoPlan]) -> Counter[Identity]:
    return Counter(identity for plan in plans for identity in plan.identities)


@settings(max_examples=30)
@given(st.integers(2, 300), st.integers(0, 5))
def test_every_identity_is_seen_twice_and_no_photo_mixes_pools(identities: int, seed: int) -> None:
    plans = composition.dataset(2 * identities + 20, identities, pool, seed)
    assert len(plans) == 2 * identities + 20
    views = _views(plans)
    assert len(views) == identities
    assert min(views.values()) >= 2
    for plan in plans:
        assert {pool(i.name) for i in plan.identities} == {plan.pool}
        assert 1 <= len(set(plan.identities)) == len(plan.identities) <= 4
    if identities >= 6:
        assert {plan.pool for plan in plans} == {"train", "validation", "test"}


@pytest.mark.parametrize("views", [2, 5, 20])
def test_a_data_set_of_views_gives_every_identity_that_many(views: int) -> None:
    counts = _views(composition.dataset_of_views(views, 50, pool))
    assert min(counts.values()) == views
    assert sum(counts.values()) / 50 < views * 1.5 + 1


def test_identities_of_a_data_set_have_look_alikes() -> None:
    chosen = composition.choose(60, pool)
    alike = [a for a in chosen if any(a.differences(b) == 1 for b in chosen)]
    assert len(alike) > 25


def test_more_look_alikes_can_be_had_also_in_a_small_pool() -> None:
    chosen = composition.choose(60, pool, look_alikes=1)
    for name in ("train", "validation", "test"):
        members = [i for i in chosen if pool(i.name) == name]
        alone = [a for a in members if all(a.differences(b) != 1 for b in members)]
        assert len(alone) <= 2, name


def test_a_data_set_grows_by_new_photos_alone() -> None:
    assert composition.dataset(110, 30, pool)[:100] == composition.dataset(100, 30, pool)


def test_too_few_photos_are_refused_with_the_number_that_it_takes() -> None:
    with pytest.raises(ValueError, match=r"ask for (\d+) photos") as refused:
        composition.dataset(20, 60, pool)
    least = int(re.findall(r"ask for (\d+)", str(refused.value))[0])
    assert len(composition.dataset(least, 60, pool)) == least
    with pytest.raises(ValueError, match="ask for"):
        composition.dataset(least - 1, 60, pool)
    with pytest.raises(ValueError, match="1 to"):
        composition.choose(100_000, pool)


def test_impossible_photos_are_refused() -> None:
    for company in ([], [MUG, MUG], list(IDENTITIES[:5])):
        with pytest.raises(ValueError, match="1 to 4"):
            WORLD.photo(company, 0)
    with pytest.raises(ValueError, match="56"):
        World(20)


# The hard part


@pytest.mark.parametrize("kind", hard_cases.KINDS)
@pytest.mark.parametrize("count", [8, 41])
def test_the_hard_part_holds_nothing_that_a_build_holds(kind: hard_cases.Kind, count: int) -> None:
    plans = hard_cases.dataset(kind, count)
    assert len(plans) == count
    views = _views(plans)
    assert not set(views) & set(IDENTITIES)
    assert min(views.values()) >= 2
    for plan in plans:
        if kind == "categories":
            assert {i.category for i in plan.identities} <= set(HARD_CATEGORIES)
        if kind == "four":
            assert len(plan.identities) == 4
        if kind == "look-alikes":
            first, *others = plan.identities
            assert others
            assert all(first.differences(other) == 1 for other in others)
        assert (plan.background in HARD_PLACES) == (kind == "backgrounds")
        assert len(WORLD.take(plan).objects) == len(plan.identities)


def test_too_small_a_hard_part_is_refused() -> None:
    with pytest.raises(ValueError, match="8 or more"):
        hard_cases.dataset("four", 2)


# The rest


def test_photos_are_made_fast() -> None:
    world = World(168)
    chosen = composition.choose(60, pool)
    plans = list(islice(composition.plans(chosen, pool), 120))
    for plan in plans:
        world.take(plan)
    # benchmarks/world_speed.py has figures.
    assert is_within(len(plans) / 60, lambda: [world.take(plan) for plan in plans])


def test_the_command_writes_photos_and_a_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), "--count", "10", "--identities", "5", "--size", "112"])
    assert "10 photos" in capsys.readouterr().out
    assert len(list((tmp_path / "photos").glob("*.jpg"))) == 10
    assert (tmp_path / "sheet.png").exists()
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--count", "2", "--identities", "50"])
    assert "photos or more" in capsys.readouterr().err
