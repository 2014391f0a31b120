"""Stage `labels`: what each object is called in prompts, or why it is called nothing.

All photos of an identity, labelled or mined, show one thing, so they have one label. The words of
the owner win. Otherwise each photo gives nouns with the probability that they are true: the noun
with the largest sum of their logarithms fits all photos best, and it is used if it is probable
enough in the mean of the photos. The photos of one thing are too alike for a product of their
probabilities to be the probability of the label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from math import fsum, log
from typing import NamedTuple

from repic.config import Settings
from repic.pipeline.stages.base import Inputs, Json, Output, TableStage, rows_of

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
    writes = ("labels",)

    def recipe(self, settings: Settings) -> Json:
        recipe = settings.labels.model_dump(mode="json")
        owners = _owners(settings)
        if owners != {s.name for s in settings.sources} & {"folder"}:
            recipe["owners"] = sorted(owners)
        return recipe

    def run(self, inputs: Inputs) -> Output:
        photos = {row["image_id"]: row for row in inputs.tables["images"].to_pylist()}
        groups = inputs.tables["groups"]
        group_of = dict(
            zip(groups["object_id"].to_pylist(), groups["group"].to_pylist(), strict=True)
        )
        members: dict[str, list[dict]] = defaultdict(list)
        for row in inputs.tables["objects"].to_pylist():
            # An object without a vector is in no group.
            members[group_of.get(row["object_id"], row["object_id"])].append(row)
        rows = []
        owners = _owners(inputs.settings)
        for objects in members.values():
            said = {
                row["object_id"]: _owner_label(row, photos[row["image_id"]], owners)
                for row in objects
            }
            common = _of_group(objects, said.values(), inputs.settings)
            for row in objects:
                own = said[row["object_id"]]
                label = Label(own, "owner") if own else common or _of_detector(row)
                rows.append(_row(row, label))
        unspoken = Counter(row["unspoken"] for row in rows if row["unspoken"])
        return Output({"labels": rows_of("labels", rows)}, {"unspoken": dict(unspoken)})


def _owners(settings: Settings) -> set[str]:
    """Names of the sources whose boxes and labels are the owner's words."""
    return {source.name for source in settings.sources if source.of_owner}


def _owner_label(row: dict, photo: dict, owners: Collection[str]) -> str | None:
    """What the owner of the photo calls this object: that of a box, or the main object."""
    of_box = row["label"] if photo["source"] in owners and photo["annotations"] else None
    return of_box or (photo["label"] if row["main"] else None)


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
