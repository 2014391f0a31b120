"""Labelled identities that may not be one subject: notes of a build, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from repic import mining
from repic.mining import Analysis
from storage.manifest import Manifest
from storage.reader import StoreReader

Note = dict[str, Any]

LEAST_PHOTOS = 8
"""Photos below which an identity with most photos of its source is no reason to ask."""

NAMED = 3
"""Identities that a sentence names."""

REMEDY = "choose another level of folders (--identity folder:LEVEL), or correct the labels"


@dataclass(frozen=True)
class Suspicion:
    """Why labels may be wrong, and the remedy if they are."""

    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"


def find(objects: pa.Table, images: pa.Table, analysis: Analysis) -> Note:
    """Notes on identities of several subjects, of most photos of a source, and of several sources.

    Args:
        objects: Rows in the order of the analysis, with `image_id` and `identity`.
        images: The images table.
    """
    source_of = dict(zip(images["image_id"].to_pylist(), images["source"].to_pylist(), strict=True))
    names = objects["identity"].to_pylist()
    photos: dict[str, set[str]] = defaultdict(set)
    for name, photo in zip(names, objects["image_id"].to_pylist(), strict=True):
        if name is not None:
            photos[name].add(photo)
    name_of = dict(zip(analysis.identity.tolist(), names, strict=True))
    several = []
    for spread in mining.several_groups(analysis):
        name = name_of[spread.identity]
        several.append({"identity": name, "photos": len(photos[name]), "groups": len(spread.sizes)})
    several.sort(key=lambda note: (-note["groups"], note["identity"]))
    most, shared = [], []
    sizes = Counter(source_of.values())
    for name, its_photos in sorted(photos.items()):
        counts = Counter(map(source_of.__getitem__, its_photos))
        if len(counts) > 1:
            shared.append({"identity": name, "sources": sorted(counts)})
        for source, count in sorted(counts.items()):
            if count >= LEAST_PHOTOS and 2 * count > sizes[source]:
                most.append(
                    {"identity": name, "photos": count, "source": source, "of": sizes[source]}
                )
    return {"several_subjects": several, "most_photos": most, "several_sources": shared}


def of_examples(store: StoreReader, examples: Manifest) -> list[Suspicion]:
    """Those of the pairs that a version of the examples was made from."""
    for item in examples.inputs:
        if item.name == "pairs":
            return suspicions(store.manifest(item.ref).notes)
    return []


def suspicions(notes: Mapping[str, Any]) -> list[Suspicion]:
    """What a person should look at, from the notes of the stage `pairs`."""
    said = []
    if several := notes.get("several_subjects"):
        shown = ", ".join(
            f"{s['identity']} ({s['photos']} photos in {s['groups']} groups)"
            for s in several[:NAMED]
        )
        what = "identity looks" if len(several) == 1 else "identities look"
        more = ", ..." if len(several) > NAMED else ""
        found = f"{len(several)} {what} like several subjects: {shown}{more}"
        said.append(Suspicion(found, f"if so, {REMEDY}"))
    if most := notes.get("most_photos"):
        shown = ", ".join(
            f"{m['identity']} (in {m['photos']} of the {m['of']} photos of {m['source']})"
            for m in most[:NAMED]
        )
        found = f"most photos have one identity: {shown}"
        said.append(Suspicion(found, f"if it is not one subject, {REMEDY}"))
    if shared := notes.get("several_sources"):
        shown = ", ".join(f"{s['identity']} ({', '.join(s['sources'])})" for s in shared[:NAMED])
        more = ", ..." if len(shared) > NAMED else ""
        what = "name is an identity" if len(shared) == 1 else "names are identities"
        found = f"{len(shared)} {what} of several sources, each counted as one subject: "
        remedy = "if they are different ones, set sources.NAME.identity_scope=source"
        said.append(Suspicion(f"{found}{shown}{more}", remedy))
    return said
