"""Stage `labels`: what each object is called in prompts, or why it is called nothing.

All photos of an identity, labelled or mined, show one thing, so they have one label. The words of
the owner win. Otherwise each photo gives nouns with the probability that they are true: the noun
with the largest sum of their logarithms fits all photos best, and it is used if it is probable
enough in the mean of the photos. The photos of one thing are too alike for a product of their
probabilities to be the probability of the label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import fsum, log
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repic.config import Settings
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage, rows_of
from repic.tables import TABLES

AT_ONCE = 1 << 14
"""Objects in memory as Python objects at once."""

FLOOR = 1e-3
"""Probability of a noun that a photo does not list: a detector lists only the likely ones."""

UNCERTAIN = "uncertain"
"""Why an object has no label: no noun is probable enough in the photos of its identity."""

UNKNOWN = "unknown"
"""Why an object has no label: nobody and nothing says what it is."""


class Label(NamedTuple):
    """What an identity is called, who says so, and the probability, if it was estimated."""

    text: str | None
    origin: str | None
    probability: float | None = None
    unspoken: str | None = None


class LabelStage(TableStage):
    """Choose one label for all objects of an identity."""

    name = "labels"
    version = 1
    reads = ("images", "objects", "groups")
    columns: ClassVar = {
        "images": ("image_id", "source", "label", "annotations"),
        "objects": (
            *("object_id", "image_id", "label", "confidence", "main", "nouns"),
            "label_origin",
        ),
        "groups": ("object_id", "group"),
    }
    writes = ("labels",)

    def recipe(self, settings: Settings) -> Json:
        recipe = settings.labels.model_dump(mode="json")
        owners = _owners(settings)
        if owners != {s.name for s in settings.sources} & {"folder"}:
            recipe["owners"] = sorted(owners)
        return recipe

    def run(self, inputs: Inputs) -> Output:
        owners = _owners(inputs.settings)
        objects = _objects(inputs)
        blocks = [TABLES["labels"].empty()]
        for rows in _whole_groups(objects["group"]):
            members: dict[str, list[dict]] = defaultdict(list)
            for row in objects.take(pa.array(rows)).to_pylist():
                members[row["group"]].append(row)
            found = (
                one for of in members.values() for one in _of_objects(of, owners, inputs.settings)
            )
            blocks.append(rows_of("labels", list(found)))
        labels = pa.concat_tables(blocks).sort_by("object_id")
        counts = pc.value_counts(labels["unspoken"].drop_null()).to_pylist()
        return Output({"labels": labels}, {"unspoken": {c["values"]: c["counts"] for c in counts}})


def _objects(inputs: Inputs) -> pa.Table:
    """The objects with their group, and what the owner of the photo says of it.

    An object without a vector is in no group: it is alone.
    """
    objects, images, groups = (inputs.tables[name] for name in ("objects", "images", "groups"))
    group = groups["group"].take(pc.index_in(objects["object_id"], groups["object_id"]))
    photos = pc.index_in(objects["image_id"], images["image_id"])
    columns = {name: objects[name] for name in LabelStage.columns["objects"]}
    columns["group"] = pc.coalesce(group, objects["object_id"])
    columns["source"] = images["source"].take(photos)
    columns["photo_label"] = images["label"].take(photos)
    annotated = pc.greater(pc.list_value_length(images["annotations"]), 0)
    columns["annotated"] = pc.fill_null(annotated, False).take(photos)
    return pa.table(columns)


def _whole_groups(group: pa.ChunkedArray) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of some groups, each with all of its rows in order, about `AT_ONCE` at a time."""
    codes = group.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    block = np.searchsorted(codes[order], codes[order]) // AT_ONCE
    yield from np.split(order, np.flatnonzero(np.diff(block)) + 1)


def _of_objects(
    objects: Sequence[dict], owners: Collection[str], settings: Settings
) -> Iterator[dict]:
    """Rows of the objects of a group."""
    said = [_owner_label(row, owners) for row in objects]
    common = _of_group(objects, said, settings)
    for row, own in zip(objects, said, strict=True):
        yield _row(row, Label(own, "owner") if own else common or _of_detector(row))


def _owners(settings: Settings) -> set[str]:
    """Names of the sources whose boxes and labels are the owner's words."""
    return {source.name for source in settings.sources if source.of_owner}


def _owner_label(row: dict, owners: Collection[str]) -> str | None:
    """What a reviewer or the owner calls this object: the owner that of a box, or the main one."""
    if row["label_origin"]:
        return row["label"] or None
    of_box = row["label"] if row["source"] in owners and row["annotated"] else None
    return of_box or (row["photo_label"] if row["main"] else None)


def _of_group(
    objects: Sequence[dict], owners: Iterable[str | None], settings: Settings
) -> Label | None:
    """The label of all objects of a group; None if each has that of its detector."""
    if said := Counter(label for label in owners if label):
        return Label(min(said, key=lambda label: (-said[label], label)), "owner")
    estimates = [row["nouns"] for row in objects if row["nouns"]]
    if not estimates:
        return None
    limits = settings.labels
    for broad, least in ((False, limits.min_probability), (True, limits.min_broad_probability)):
        noun, probability = _best(estimates, broad)
        if noun and probability >= least:
            return Label(noun, "detector", probability)
    return Label(None, None, probability, UNCERTAIN)


def _best(estimates: Sequence[Sequence[dict]], broad: bool) -> tuple[str | None, float]:
    """The specific or broad noun that fits all photos best, and its mean probability."""
    values: dict[str, list[float]] = defaultdict(list)
    for nouns in estimates:
        for noun in nouns:
            if noun["broad"] == broad:
                values[noun["text"]].append(max(noun["probability"], FLOOR))
    count = len(estimates)
    sums = {
        text: fsum(map(log, known)) + (count - len(known)) * log(FLOOR)
        for text, known in values.items()
    }
    if not sums:
        return None, 0.0
    best = min(sums, key=lambda text: (-sums[text], text))
    return best, fsum(values[best]) / count


def _of_detector(row: dict) -> Label:
    """The label of a detector or annotation that gives one only where it is sure."""
    if not row["label"]:
        return Label(None, None, None, UNKNOWN)
    return Label(row["label"], "detector", row["confidence"])


def _row(row: dict, label: Label) -> dict:
    return {
        "object_id": row["object_id"],
        "image_id": row["image_id"],
        "label": label.text,
        "origin": label.origin,
        "probability": label.probability,
        "unspoken": label.unspoken,
    }
