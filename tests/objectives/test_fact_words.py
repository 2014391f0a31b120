"""Words that tell a photo from others, and words of others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from repic.config import ExampleSettings
from repic.objectives import ExampleInputs, build
from repic.objectives.neighborhood import Neighborhood, read
from tests.objectives.tables import Build, labelled_build, pair_row
from tests.objectives.test_inputs import changed


def neighborhoods(world: Build) -> list[Neighborhood]:
    inputs = ExampleInputs.of(world.corpus, ExampleSettings())
    return list(read(inputs.take(np.arange(len(inputs.queries)))))


def without_pairs(world: Build) -> Build:
    world.pairs = world.pairs.slice(0, 0)
    return world


def test_words_of_strangers_are_false() -> None:
    world = labelled_build(8, 3)
    expressions = {"dog": "the grey one", "cat": "the old one", "mug": "the tall one"}
    world = changed(
        world, "objects", lambda row: {**row, "expressions": [expressions.get(row["label"], "")]}
    )
    objects = world.objects.to_pylist()
    dog = next(o for o in objects if o["label"] == "dog")
    pairs = [pair_row(dog, o, "negative") for o in objects if o["label"] in ("cat", "mug")]
    world.pairs = pa.Table.from_pylist(pairs, schema=world.pairs.schema)
    near = next(n for n in neighborhoods(world) if n.photo.image_id == dog["image_id"])
    distinctive, distractors = near.fact_words
    assert {"mug", "tall"} <= set(distractors)
    assert not set(distinctive) & set(distractors)


def test_a_photo_without_strangers_gets_common_words_of_train_as_false() -> None:
    world = labelled_build(8, 3)
    captions = (f"thing{n} dog{n % 2} on grass" for n in range(999))
    world = changed(world, "images", lambda row: {**row, "caption": next(captions)})
    world = changed(world, "objects", lambda row: {**row, "expressions": ["a small red thing"]})
    near = next(n for n in neighborhoods(without_pairs(world)) if "dog0" in (n.photo.caption or ""))
    distinctive, distractors = near.fact_words
    assert "dog0" in distinctive
    assert "dog1" in distractors
    assert not {"grass", "dog0"} & set(distractors)
    assert not any(word.startswith("thing") for word in distractors)  # each of one photo only


def test_words_of_a_small_split_are_compared_with_train_and_train_with_itself() -> None:
    world = labelled_build(8, 3)
    captions = (f"thing {n} on grass" for n in range(999))
    world = changed(world, "images", lambda row: {**row, "caption": next(captions)})
    photos = world.images["image_id"].to_pylist()
    for image_id in photos[:2]:
        world.splits[image_id] = "validation"
    words = ExampleInputs.of(world.corpus, ExampleSettings())._words
    grass = words.texts.index("grass")
    found = [
        (count, int(counts[grass]))
        for count, counts in zip(words.photos, words.counts, strict=True)
    ]
    assert found == [(len(photos) - 2,) * 2, (len(photos),) * 2, (len(photos) - 2,) * 2]


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
    for near in neighborhoods(without_pairs(world)):
        distinctive, _ = near.fact_words
        assert "grass" not in distinctive  # two photos of three have it
        assert set(distinctive) < set(near.words)
        if distinctive:
            assert ("sand" in distinctive) is not ("grass" in str(near.photo.caption))
