"""An existing row is kept if and only if everything that it was made from is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.config import ExampleSettings
from repic.objectives import build, selection_columns
from repic.objectives.corpus import Corpus
from repic.objectives.scene import choose_fact_words
from tests.objectives.tables import Build, labelled_build

Row = dict[str, Any]

COLUMNS = selection_columns(())


def existing_of(rows: list[Row]) -> dict[str, Row]:
    return {row["draft"]: {name: row[name] for name in COLUMNS} for row in rows}


def completed(rows: list[Row], before: list[Row]) -> list[Row]:
    """Rows, with the kept ones completed from the previous build."""
    old = {row["draft"]: row for row in before}
    return [old[row["draft"]] if row.keys() == set(COLUMNS) else row for row in rows]


def kept(rows: list[Row]) -> int:
    return sum(row.keys() == set(COLUMNS) for row in rows)


def test_the_same_again_writes_nothing() -> None:
    world = labelled_build(8, 3)
    before, summaries = build(*world.tables, ExampleSettings())
    rows, again = build(*world.tables, ExampleSettings(), existing_of(before))
    assert kept(rows) == len(rows) == len(before)
    assert completed(rows, before) == before
    assert again == summaries


def changed(world: Build, table: str, change: Callable[[Row], Row]) -> Build:
    """The same world with one table's rows changed."""
    original: pa.Table = getattr(world, table)
    rows = pa.Table.from_pylist(
        [change(row) for row in original.to_pylist()], schema=original.schema
    )
    setattr(world, table, rows)
    return world


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("images", "caption", "Nothing is where it was."),
        ("images", "uri", "file:///elsewhere.jpg"),
        ("objects", "expressions", ["the one by the door"]),
        ("objects", "x1", 90.0),
        ("pairs", "similarity", 0.99),
        ("pairs", "band", "easy"),
    ],
)
def test_a_row_of_which_anything_changed_is_written_anew(
    table: str, column: str, value: Any
) -> None:
    before, _ = build(*labelled_build(8, 3).tables, ExampleSettings())
    chosen = getattr(labelled_build(8, 3), table).to_pylist()[0]

    def change(row: Row) -> Row:
        return {**row, column: value} if row == chosen else row

    world = changed(labelled_build(8, 3), table, change)
    rows, summaries = build(*world.tables, ExampleSettings(), existing_of(before))
    fresh, expected = build(*world.tables, ExampleSettings())
    assert completed(rows, before) == fresh
    assert summaries == expected
    assert 0 < kept(rows) < len(rows)


@settings(max_examples=15)
@given(st.sets(st.integers(0, 23), max_size=6), st.sets(st.integers(0, 23), max_size=6))
def test_photos_that_come_and_go_leave_no_trace(first: set[int], second: set[int]) -> None:
    world = labelled_build(8, 3)
    photos = world.images["image_id"].to_pylist()

    def seen(hidden: set[int]) -> tuple[Any, ...]:
        gone = {photos[index] for index in hidden}
        splits = {photo: None if photo in gone else "train" for photo in photos}
        return world.images, world.objects, world.labels, world.pairs, splits

    before, _ = build(*seen(first), ExampleSettings())
    rows, summaries = build(*seen(second), ExampleSettings(), existing_of(before))
    fresh, expected = build(*seen(second), ExampleSettings())
    assert completed(rows, before) == fresh
    assert summaries == expected


def test_the_order_of_strangers_decides_no_word() -> None:
    world = labelled_build(8, 3)
    expressions = {"dog": "the grey one", "cat": "the old one", "mug": "the tall one"}
    world = changed(
        world, "objects", lambda row: {**row, "expressions": [expressions.get(row["label"], "")]}
    )
    corpus = world.corpus
    objects = [*corpus.objects.values()]
    query = corpus.photos[objects[0].image_id]
    others = [obj for obj in objects if obj.image_id != query.image_id]
    distinctive, distractors = choose_fact_words(corpus, query, others)
    assert {"mug", "tall"} <= set(distractors)
    assert choose_fact_words(corpus, query, others[::-1]) == (distinctive, distractors)


def test_a_photo_without_strangers_gets_common_words_of_train_as_false() -> None:
    world = labelled_build(8, 3)
    captions = (f"thing{n} dog{n % 2} on grass" for n in range(999))
    world = changed(world, "images", lambda row: {**row, "caption": next(captions)})
    world = changed(world, "objects", lambda row: {**row, "expressions": ["a small red thing"]})
    corpus = world.corpus
    query = next(photo for photo in corpus.photos.values() if "dog0" in (photo.caption or ""))
    distinctive, distractors = choose_fact_words(corpus, query, [])
    assert "dog0" in distinctive
    assert "dog1" in distractors
    assert not {"grass", "dog0"} & set(distractors)
    assert not any(word.startswith("thing") for word in distractors)  # each of one photo only


def test_words_of_a_small_split_are_compared_with_train_and_train_with_itself() -> None:
    world = labelled_build(8, 3)
    captions = (f"thing {n} on grass" for n in range(999))
    world = changed(world, "images", lambda row: {**row, "caption": next(captions)})
    photos = world.images["image_id"].to_pylist()

    def counts(validation: int, split: str) -> tuple[int, int]:
        splits = {p: "validation" if i < validation else "train" for i, p in enumerate(photos)}
        corpus = Corpus.of(world.images, world.objects, world.labels, world.pairs, splits)
        frequency = corpus.document_frequency(split)
        return frequency.photos, frequency.counts["grass"]

    assert counts(2, "validation") == (len(photos), len(photos))
    assert counts(2, "train") == (len(photos) - 2, len(photos) - 2)


def test_what_too_few_words_distinguish_has_no_facts_and_is_counted() -> None:
    world = labelled_build(8, 3)
    for expression, is_short in (("a thing", True), ("a {} tall old thing", False)):
        words = iter(f"w{n}" for n in range(999))
        world = changed(world, "images", lambda row: {**row, "caption": "a thing"})
        world = changed(
            world,
            "objects",
            lambda row, e=expression, w=words: {**row, "expressions": [e.format(next(w))]},
        )
        rows, summaries = build(*world.tables, ExampleSettings())
        captions = [r for r in rows if r["objective"] == "ict" and r["kind"] != "which"]
        assert any(row["distinctive_words"] for row in captions) is not is_short
        (ict,) = (summary for summary in summaries if summary.objective == "ict")
        assert (ict.without_facts > 0) is is_short


def test_what_most_photos_of_a_split_have_tells_nothing() -> None:
    world = labelled_build(8, 3)
    texts = [f"{word} {'grass' if n else 'sand'}" for n, word in enumerate(("one", "two", "three"))]
    captions = iter(texts * 8)
    world = changed(world, "images", lambda row: {**row, "caption": next(captions)})
    world = changed(world, "objects", lambda row: {**row, "expressions": ["a thing"]})
    corpus = world.corpus
    for image_id, photo in corpus.photos.items():
        distinctive, _ = choose_fact_words(corpus, photo, [])
        has_grass = "grass" in str(photo.caption)
        assert "grass" not in distinctive  # two photos of three have it
        assert ("sand" in distinctive) is not has_grass
        assert set(distinctive) < set(corpus.words_of(image_id))


def test_drafts_have_keys_of_their_own() -> None:
    rows, _ = build(*labelled_build(8, 3).tables, ExampleSettings())
    assert len({row["draft"] for row in rows}) == len(rows)
