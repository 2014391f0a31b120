"""References that are crops of the query photo itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from repic.config import ExampleSettings
from repic.objectives import build
from repic.objectives.same_photo import augmentation
from tests.objectives.tables import (
    Build,
    image_row,
    labelled_build,
    object_row,
    pair_row,
    the_object,
)

CHANGED = ExampleSettings(same_photo={"use": "auto"})


def apart(photos: int = 12, **changes: Any) -> Build:
    """Photos of a dog and a mug each; no thing is in two of them."""
    objects = []
    for n in range(photos):
        objects.append(object_row(f"{n}-dog", f"{n}", identity=f"dog {n}", **changes))
        objects.append(
            object_row(f"{n}-mug", f"{n}", identity=f"mug {n}", label="mug", x1=400.0, x2=600.0)
        )
    return Build([image_row(str(n)) for n in range(photos)], objects, [])


def rows_of(made: Build, **same_photo: Any) -> list[dict[str, Any]]:
    settings = ExampleSettings(
        same_photo={"use": "auto", **same_photo}, ict={"shares": {"single": 0.5, "multi": 0.5}}
    )
    rows, _ = build(*made.tables, settings)
    return rows


def of(rows: list[dict[str, Any]], objective: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["objective"] == objective]


def test_without_the_setting_there_are_none() -> None:
    rows, summaries = build(*apart().tables, ExampleSettings())
    assert {row["objective"] for row in rows} == {"vlt"}
    assert all(row["origin"] is None for row in rows)
    assert "examples.same_photo.use=auto" in str(summaries[0].why)
    rows, _ = build(*labelled_build().tables, ExampleSettings())
    assert {row["origin"] for row in rows if row["references"]} == {"two_photos"}
    assert all(i["augmentation"] is None for row in rows for i in row["images"])


def test_a_positive_shows_a_changed_crop_of_the_query() -> None:
    positives = [row for row in of(rows_of(apart()), "oct") if row["answer"] == "yes"]
    assert len(positives) == 24
    for row in positives:
        reference, query = row["images"]
        assert reference["image_id"] == query["image_id"]
        assert reference["crop"] != query["crop"]
        assert query["augmentation"] is None
        assert reference["augmentation"]["scale"] != 100
        assert row["origin"] == "same_photo"
        assert row["pair_ids"] == []
    assert {row["images"][0]["augmentation"]["mirrored"] for row in positives} == {True, False}


def test_a_negative_shows_another_object_of_the_label_from_another_photo() -> None:
    made = apart()
    objects = {row["object_id"]: row for row in made.objects.to_pylist()}
    rows = of(rows_of(made), "oct")
    negatives = [row for row in rows if row["answer"] == "no"]
    assert len(negatives) == 24
    for row in negatives:
        reference, query = row["images"]
        assert reference["image_id"] != query["image_id"]
        shown = objects[row["references"][0]["object_id"]]
        there = [o for o in objects.values() if o["image_id"] == query["image_id"]]
        assert shown["label"] in {o["label"] for o in there}
        assert shown["identity"] not in {o["identity"] for o in there}
    queries = Counter((row["images"][-1]["image_id"], row["answer"]) for row in rows)
    assert len(set(queries.values())) == 1, "each photo is a query with both answers"


def test_how_a_reference_is_changed_does_not_tell_the_answer() -> None:
    rows = of(rows_of(apart(200)), "oct")
    for key in ("scale", "brightness", "contrast", "saturation", "mirrored"):
        means = [
            sum(r["images"][0]["augmentation"][key] for r in rows if r["answer"] == answer)
            / sum(r["answer"] == answer for r in rows)
            for answer in ("yes", "no")
        ]
        assert means[0] == pytest.approx(means[1], rel=0.1), key


def test_a_photo_whose_objects_never_recur_does_not_mean_no() -> None:
    """Each query photo is asked about with yes and with no, in questions of either origin."""
    alone, paired = apart(20), labelled_build(8, 3)
    dog, mug = paired.objects.to_pylist()[0], alone.objects.to_pylist()[1]
    crossing = [pair_row(dog, mug, "negative", band="easy"), pair_row(mug, dog, "negative")]
    tables = (
        [*getattr(alone, name).to_pylist(), *getattr(paired, name).to_pylist()]
        for name in ("images", "objects", "pairs")
    )
    images, objects, pairs = tables
    rows = of(rows_of(Build(images, objects, [*pairs, *crossing])), "oct")
    lone = {row["image_id"] for row in alone.images.to_pylist()}
    counts = Counter((row["images"][-1]["image_id"] in lone, row["answer"]) for row in rows)
    assert counts[True, "yes"] == counts[True, "no"] > 30
    assert counts[False, "yes"] == pytest.approx(counts[False, "no"], rel=0.1)
    assert all(
        i["image_id"] in lone
        for r in rows
        for i in r["images"]
        if r["images"][-1]["image_id"] in lone
    )


def test_pairs_without_negatives_get_look_alikes() -> None:
    made = labelled_build(12, 3)
    positives = [row for row in made.pairs.to_pylist() if row["kind"] == "positive"]
    rows = of(rows_of(Build(made.images.to_pylist(), made.objects.to_pylist(), positives)), "oct")
    counts = Counter(row["answer"] for row in rows)
    assert counts["yes"] == len(positives)
    assert counts["no"] > 0.8 * counts["yes"]
    assert {row["origin"] for row in rows} == {"two_photos"}


def test_all_references_of_caption_rows_are_changed() -> None:
    made = labelled_build()
    rows, _ = build(
        *made.tables,
        ExampleSettings(same_photo={"use": "always"}, ict={"same_photo_share": 0.5}),
    )
    kinds = Counter()
    for row in of(rows, "ict"):
        assert all(i["augmentation"] for i in row["images"][:-1])
        assert row["images"][-1]["augmentation"] is None
        present = [r["present"] for r in row["references"]]
        own = [i["image_id"] == row["images"][-1]["image_id"] for i in row["images"][:-1]]
        assert own == (present if row["origin"] == "same_photo" else [False] * len(own))
        kinds[row["origin"], row["kind"]] += 1
    assert {kind for _, kind in kinds} == {"single", "multi", "absent", "mixed", "which"}
    assert all(kinds["same_photo", kind] for kind in ("single", "multi", "absent", "mixed"))


def test_auto_leaves_out_what_another_photo_shows() -> None:
    made = apart(6)
    objects = made.objects.to_pylist()
    view = object_row("again", "again", identity="dog 0")
    far = object_row("far", "far", identity="dog 1")
    twin = object_row("twin", "twin", identity="dog 2")
    images = [
        *made.images.to_pylist(),
        image_row("again"),
        image_row("far"),
        image_row("twin", near_duplicate_group=image_row("2")["near_duplicate_group"]),
    ]
    more = Build(images, [*objects, view, far, twin], [pair_row(objects[0], view, "positive")])
    more.splits[far["image_id"]] = "test"
    rows = rows_of(more)
    shown = {r["references"][0]["object_id"] for r in of(rows, "oct") if r["answer"] == "yes"}
    same = {r["references"][0]["object_id"] for r in of(rows, "oct") if r["origin"] == "same_photo"}
    assert {o["object_id"] for o in objects if o["identity"] == "dog 0"} <= shown
    assert not same & {o["object_id"] for o in objects if o["identity"] in ("dog 0", "dog 1")}
    assert same & {o["object_id"] for o in objects if o["identity"] == "dog 2"}
    always = of(rows_of(more, use="always"), "oct")
    both = {r["origin"] for r in always if r["images"][-1]["image_id"] == view["image_id"]}
    assert both == {"two_photos", "same_photo"}


def test_near_duplicates_are_no_negatives_of_each_other() -> None:
    made = apart(2)
    twins = [{**row, "near_duplicate_group": "one"} for row in made.images.to_pylist()]
    assert not of(rows_of(Build(twins, made.objects.to_pylist(), [])), "oct")


def test_unknown_objects_need_a_negative_pair() -> None:
    made = apart(3)
    objects = [{**row, "identity": None} for row in made.objects.to_pylist()]
    rows = rows_of(Build(made.images.to_pylist(), objects, []))
    assert not of(rows, "oct")
    dogs = [row for row in objects if row["label"] == "dog"]
    pairs = [pair_row(dogs[0], dogs[1], "negative")]
    rows = of(rows_of(Build(made.images.to_pylist(), objects, pairs)), "oct")
    assert Counter(row["answer"] for row in rows) == {"yes": 2, "no": 2}
    ids = {row["references"][0]["object_id"] for row in rows}
    assert ids == {dogs[0]["object_id"], dogs[1]["object_id"]}
    pairs[0]["review"] = "reject"
    assert not of(rows_of(Build(made.images.to_pylist(), objects, pairs)), "oct")


@pytest.mark.parametrize(
    "changes",
    [{"truncated": True}, {"occluded": True}, {"x2": 110.0}, {"area_share": 0.95}],
)
def test_an_object_that_is_not_clear_is_no_reference(changes: dict[str, Any]) -> None:
    labels = {row["object_id"]: row["label"] for row in apart().objects.to_pylist()}
    rows = of(rows_of(apart(**changes)), "oct")
    assert {labels[row["references"][0]["object_id"]] for row in rows} == {"mug"}


def test_the_only_one_of_its_label_is_left_out() -> None:
    made = apart(4)
    lone = object_row("lone", "0", identity="lone", label="toaster", x1=1.0, x2=90.0)
    settings = ExampleSettings(same_photo={"use": "auto", "max_per_photo": 9})
    rows, summaries = build(
        *Build(made.images.to_pylist(), [*made.objects.to_pylist(), lone], []).tables, settings
    )
    asked = {row["references"][0]["object_id"] for row in of(rows, "oct")}
    assert lone["object_id"] not in asked
    assert summaries[0].refused["no_other_object_of_its_label"] == 1
    assert lone["object_id"] in {
        ref["object_id"] for row in of(rows, "ict") for ref in row["references"]
    }


def test_share_and_objects_per_photo() -> None:
    made = labelled_build()
    positives = sum(row["kind"] == "positive" for row in made.pairs.to_pylist())
    rows = of(rows_of(made, use="always", share=0.25), "oct")
    counts = Counter(row["origin"] for row in rows if row["answer"] == "yes")
    assert counts["two_photos"] == positives
    assert counts["same_photo"] == round(positives / 3)
    one = of(rows_of(apart(), max_per_photo=1), "oct")
    per_photo = Counter(row["images"][-1]["image_id"] for row in one if row["answer"] == "yes")
    assert set(per_photo.values()) == {1}
    alone = of(rows_of(apart(), share=0.25), "oct")
    assert len(alone) == 48, "without any pair the share goes to crops of the query"


def test_rows_stay_in_their_split() -> None:
    made = apart(30)
    for number, image_id in enumerate(made.splits):
        made.splits[image_id] = ("train", "validation", "test")[number % 3]
    rows = rows_of(made)
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    for row in rows:
        assert {made.splits[image["image_id"]] for image in row["images"]} == {row["split"]}


def test_a_row_does_not_depend_on_photos_of_other_labels() -> None:
    made = apart(8)
    cat = object_row("cat", "cat", label="cat", identity="cat")
    more = Build([*made.images.to_pylist(), image_row("cat")], [*made.objects.to_pylist(), cat], [])
    before = {row["example_id"] for row in rows_of(made)}
    assert before <= {row["example_id"] for row in rows_of(more)}


def test_small_crops_are_made_larger() -> None:
    small = the_object(apart())
    assert {augmentation(CHANGED, seed, small).scale > 100 for seed in range(40)} == {True, False}
    tiny = small._replace(box=(0, 0, 50, 50))
    assert all(augmentation(CHANGED, seed, tiny).scale > 100 for seed in range(40))
