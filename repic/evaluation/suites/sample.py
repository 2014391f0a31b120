"""Suites of the generated world, with identities that no build and no training uses.

`sample` has photos with 1, 2 and 4 objects of `RESERVED` identities. `sample-ood` is
`repic.sample.hard_cases`: unseen categories and places, four objects, look-alikes. Each identity
has two references, crops of photos that show it alone and, if possible, not truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from repic.config import NameSettings, cache_folder
from repic.evaluation.suites.base import (
    Concept,
    ImageRegion,
    Query,
    QueryObject,
    Suite,
    local_photo,
)
from repic.objectives.base import SeededRandom, seed_of
from repic.objectives.names import draw_names
from repic.objectives.neighborhood import Object
from repic.objectives.phrases import reference_info
from repic.sample import composition, hard_cases, photo_files
from repic.sample.backgrounds import PLACES
from repic.sample.composition import PhotoPlan
from repic.sample.identities import RESERVED, Identity
from repic.sample.world import World

SIZES = (1, 2, 4)
"""Objects per photo of `sample`, one part each."""

REFERENCES, CANDIDATES = 2, 5
"""References of an identity, and generated photos from which they are chosen."""

_WORLD = 3_200_000
_FIRST_REFERENCE = 1_000_000
"""Number of the first reference photo, above those of all queries."""

_PHOTOS_PER_IDENTITY = 5


def suite(name: str, photos: int, seed: int = 0) -> Suite:
    """A generated suite; its photos are kept in the user's cache folder.

    Args:
        name: sample or sample-ood.
        photos: Number per part.
    """
    world = World(seed=_WORLD + seed)
    plans = _hard(photos, world.seed) if name == "sample-ood" else _sizes(photos, world.seed)
    identities = {
        identity for part in plans.values() for plan in part for identity in plan.identities
    }
    cast = sorted(identities, key=lambda identity: identity.name)
    folder = cache_folder() / "evaluate"
    concepts = _concepts(world, cast, folder)
    names = {identity.name: c.name for identity, c in zip(cast, concepts, strict=True)}
    database = tuple(names.values())
    queries = [
        _query(part, entry, names, database, folder)
        for part, part_plans in plans.items()
        for entry in photo_files.read(photo_files.write(world, part_plans, folder))
    ]
    return Suite(name, concepts, tuple(queries))


def _sizes(photos: int, seed: int) -> dict[str, list[PhotoPlan]]:
    """Plans of the photos of `sample` by part."""
    cast = composition.choose(_cast_size(photos), _one_pool, seed, RESERVED)
    return {
        str(size): list(
            islice(composition.plans(cast, _one_pool, seed + size, crowds=(size,)), photos)
        )
        for size in SIZES
    }


def _cast_size(photos: int) -> int:
    """Number of identities such that each is in about `_PHOTOS_PER_IDENTITY` photos."""
    return min(len(RESERVED), max(8, photos * sum(SIZES) // _PHOTOS_PER_IDENTITY))


def _hard(photos: int, seed: int) -> dict[str, list[PhotoPlan]]:
    """Plans of the photos of `sample-ood` by part."""
    return {kind: hard_cases.dataset(kind, photos, seed) for kind in hard_cases.KINDS}


def _one_pool(_: str) -> str:
    return hard_cases.POOL


def _concepts(world: World, cast: Sequence[Identity], folder: Path) -> tuple[Concept, ...]:
    solo = [
        PhotoPlan(
            (identity,), list(PLACES)[(n + k) % len(PLACES)], _FIRST_REFERENCE + k, hard_cases.POOL
        )
        for n, identity in enumerate(cast)
        for k in range(CANDIDATES)
    ]
    entries = photo_files.read(photo_files.write(world, solo, folder))
    rng = SeededRandom(seed_of(world.seed, "names", *(identity.name for identity in cast)))
    phrases = [identity.phrase for identity in cast]
    names = [name for name, _ in draw_names(rng, len(cast), NameSettings().locales, phrases)]
    concepts = []
    for n, (identity, name) in enumerate(zip(cast, names, strict=True)):
        candidates = entries[n * CANDIDATES : (n + 1) * CANDIDATES]
        clearest = sorted(candidates, key=lambda entry: _hidden(entry["objects"][0]))[:REFERENCES]
        views = [_crop(entry, folder) for entry in clearest]
        reference = _object(clearest[0]["objects"][0], views[0])
        info = reference_info(reference, rng)
        concepts.append(Concept(name, info, identity.category, tuple(views)))
    return tuple(concepts)


def _hidden(thing: dict[str, Any]) -> tuple[bool, float]:
    """Sort key: the best visible object first."""
    return thing["truncated"] or thing["occluded"], -thing["visible_share"]


def _crop(entry: dict[str, Any], folder: Path) -> ImageRegion:
    photo = local_photo(folder / "photos" / entry["file"])
    x1, y1, x2, y2 = entry["objects"][0]["box"]
    return replace(photo, crop=(x1, y1, x2, y2))


def _object(thing: dict[str, Any], region: ImageRegion) -> Object:
    """The form that the builder of examples uses, so that references read as in training."""
    expressions = tuple(thing["expressions"])
    x1, y1, x2, y2 = region.crop
    return Object(
        object_id=region.image_id,
        image_id=region.image_id,
        box=region.crop,
        label=thing["label"],
        spoken=thing["label"],
        area_share=(x2 - x1) * (y2 - y1) / (region.width * region.height),
        same_label_count=1,
        cut=thing["truncated"] or thing["occluded"],
        expressions=expressions,
        phrases=expressions,
    )


def _query(
    part: str,
    entry: dict[str, Any],
    names: dict[str, str],
    among: tuple[str, ...],
    folder: Path,
) -> Query:
    things = tuple(_scene_object(thing, names[thing["identity"]]) for thing in entry["objects"])
    photo = local_photo(folder / "photos" / entry["file"])
    return Query(part, photo, tuple(thing.name for thing in things), things, among)


def _scene_object(thing: dict[str, Any], name: str) -> QueryObject:
    x1, y1, x2, y2 = thing["box"]
    return QueryObject(name, (x1, y1, x2, y2), thing["label"], tuple(thing["expressions"]))
