"""All three objectives together: the table, splits, shares, stability, speed."""

from __future__ import annotations

from collections import Counter

import pytest

from repic.config import ExampleSettings
from repic.images.coordinates import QWEN3_VL
from repic.objectives import build, objective_of
from repic.objectives.base import answer_of, prompt_of
from repic.objectives.registry import OWN
from repic.tables import build as tables
from tests.objectives.tables import Build, labelled_build
from tests.timing import is_within


@pytest.fixture(scope="module")
def world() -> Build:
    return labelled_build()


def test_rows_fit_the_table_and_their_own_prompt(world: Build) -> None:
    rows, summaries = build(*world.tables, ExampleSettings())
    table = tables.EXAMPLES.table(rows)
    assert table.num_rows == len(rows) == len({row["example_id"] for row in rows})
    assert sum(sum(summary.rows.values()) for summary in summaries) == len(rows)
    assert {row["objective"] for row in rows} == set(OWN)
    for row in rows:
        blocks = [block["type"] for block in row["prompt"]]
        assert blocks.count("image") == len(row["images"])
        assert blocks[-1] == "text"
        assert [picture["role"] for picture in row["images"]][-1] == "query"
        assert all((block["type"] == "text") == bool(block["text"]) for block in row["prompt"])
        text = " ".join(block["text"] for block in row["prompt"])
        assert all(f"<{reference['name']}>" in text for reference in row["references"])
        assert ("{box}" in text) == (row["kind"] == "which")
        assert "{" not in text.replace("{box}", "")
        text = " ".join(block["text"] for block in prompt_of(row, QWEN3_VL))
        assert "{box}" not in text
        assert "{box}" not in answer_of(row, QWEN3_VL)
    assert rows == sorted(rows, key=lambda row: row["example_id"])


def test_templates_are_many_and_distinct() -> None:
    for name, fewest in (("oct", 16), ("vlt", 11), ("ict", 26)):
        templates = objective_of(name).templates
        assert len({t.text for t in templates}) == len({t.id for t in templates}) >= fewest


def test_the_same_build_gives_the_same_rows(world: Build) -> None:
    first, _ = build(*world.tables, ExampleSettings())
    shuffled = Build.__new__(Build)
    shuffled.images = world.images.take(list(reversed(range(world.images.num_rows))))
    shuffled.objects = world.objects.take(list(reversed(range(world.objects.num_rows))))
    shuffled.pairs = world.pairs.take(list(reversed(range(world.pairs.num_rows))))
    shuffled.splits = world.splits
    assert build(*shuffled.tables, ExampleSettings())[0] == first
    assert build(*world.tables, ExampleSettings(seed=1))[0] != first


def test_more_photos_leave_most_rows_alone() -> None:
    few, many = labelled_build(identities=12), labelled_build(identities=16)
    kept = set(few.pairs["pair_id"].to_pylist()) & set(many.pairs["pair_id"].to_pylist())
    before = {r["example_id"] for r in build(*few.tables, ExampleSettings())[0]}
    after = {r["example_id"]: r for r in build(*many.tables, ExampleSettings())[0]}
    assert kept
    assert len(before & after.keys()) / len(before) > 0.8


def test_nothing_crosses_splits(world: Build) -> None:
    split = dict(world.splits)
    for number, image_id in enumerate(world.images["image_id"].to_pylist()):
        split[image_id] = ("train", "validation", "test")[number // 16]
    pairs = world.pairs.to_pylist()
    for pair in pairs:
        pair["split"] = split[pair["anchor_image_id"]]
    rows, summaries = build(
        world.images,
        world.objects,
        world.labels,
        tables.PAIRS.table(pairs),
        split,
        ExampleSettings(total=20),
    )
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert all(
        split[picture["image_id"]] == row["split"] for row in rows for picture in row["images"]
    )
    assert sum(row["split"] == "train" for row in rows) == 20
    assert any(summary.refused["pair_crosses_splits"] for summary in summaries)


def test_total_keeps_a_stable_choice(world: Build) -> None:
    small = {row["example_id"] for row in build(*world.tables, ExampleSettings(total=20))[0]}
    large = {row["example_id"] for row in build(*world.tables, ExampleSettings(total=60))[0]}
    assert len(small) == 20
    assert len(large) == 60
    assert small < large


def test_shares_are_met(world: Build) -> None:
    settings = ExampleSettings(total=100, shares={"oct": 0.5, "vlt": 0.2, "ict": 0.3})
    rows, _ = build(*world.tables, settings)
    assert Counter(row["objective"] for row in rows) == {"oct": 50, "vlt": 20, "ict": 30}


def test_an_objective_without_rows_says_why_and_leaves_its_share(world: Build) -> None:
    settings = ExampleSettings(total=40, shares={"oct": 0.5, "vlt": 0.25, "ict": 0.25})
    rows, summaries = build(
        world.images, world.objects, world.labels, world.pairs.slice(0, 0), world.splits, settings
    )
    assert {row["objective"] for row in rows} == {"vlt"}
    assert len(rows) == 40
    whys = {summary.objective: summary.why for summary in summaries}
    assert whys["vlt"] is None
    assert whys["oct"] is not None
    assert whys["ict"] is not None
    assert "no usable positive pair" in whys["oct"]
    none, summaries = build(*world.tables, ExampleSettings(shares={"oct": 1.0}))
    assert {row["objective"] for row in none} == {"oct"}
    assert "share" in str(summaries[1].why)
    assert summaries[1].as_json()["rows"] == {}


def test_speed() -> None:
    world = labelled_build(identities=500, views=4)
    assert world.images.num_rows == 2_000
    assert world.pairs.num_rows == 10_000
    build(*labelled_build(4, 2).tables, ExampleSettings())

    assert is_within(5, lambda: build(*world.tables, ExampleSettings()))
