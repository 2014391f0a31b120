"""Suites of the generated world, of identities that no build and no training holds.

`sample` has photos with 1, 2 and 4 objects of `RESERVED` identities; `sample-ood` is
`repic.sample.hard`: unseen categories and places, four objects, look-alikes. Each identity has two
references, crops of photos that show it alone, uncut where there are such.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from repic.config import NameSettings, cache_folder
from repic.evaluate.suites import Concept, Query, Suite, Thing, View, view_of
from repic.objectives.base import SeededRandom, seed_of
from repic.objectives.corpus import Object
from repic.objectives.names import draw_names
from repic.objectives.phrases import reference_info
from repic.sample import compose, files, hard
from repic.sample.backgrounds import PLACES
from repic.sample.compose import Plan
from repic.sample.identities import RESERVED, Identity
from repic.sample.world import World

SIZES = (1, 2, 4)
"""Objects per photo of `sample`: one part each."""

REFERENCES, CANDIDATES = 2, 5
"""Views of an identity, and photos that they are chosen from."""

_WORLD = 3_200_000
_FIRST_REFERENCE = 1_000_000
"""Photos of references are numbered from it, apart from all queries."""

_VIEWS = 5


def suite(name: str, photos: int, seed: int = 0) -> Suite:
    """A generated suite; its photos lie in the user's cache folder and stay there.

    Args:
        photos: Of each part.
    """
    world = World(seed=_WORLD + seed)
    plans = _hard(photos, world.seed) if name == "sample-ood" else _sizes(photos, world.seed)
    cast = sorted({i for made in plans.values() for plan in made for i in plan.identities}, key=_id)
    folder = cache_folder() / "evaluate"
    concepts = _concepts(world, cast, folder)
    names = {identity.name: c.name for identity, c in zip(cast, concepts, strict=True)}
    everyone = tuple(names.values())
    queries = [
        _query(part, entry, names, everyone, folder)
        for part, made in plans.items()
        for entry in files.read(files.write(world, made, folder))
    ]
    return Suite(name, concepts, tuple(queries))


def _id(identity: Identity) -> str:
    return identity.name


def _sizes(photos: int, seed: int) -> dict[str, list[Plan]]:
    made = {}
    cast = compose.choose(_cast(photos), _one_pool, seed, RESERVED)
    for size in SIZES:
        plans = compose.plans(cast, _one_pool, seed + size, crowds=(size,))
        made[str(size)] = list(islice(plans, photos))
    return made


def _cast(photos: int) -> int:
    """So many identities that each is in about `_VIEWS` photos."""
    return min(len(RESERVED), max(8, photos * sum(SIZES) // _VIEWS))


def _hard(photos: int, seed: int) -> dict[str, list[Plan]]:
    return {kind: hard.dataset(kind, photos, seed) for kind in hard.KINDS}


def _one_pool(_: str) -> str:
    return hard.POOL


def _concepts(world: World, cast: Sequence[Identity], folder: Path) -> tuple[Concept, ...]:
    solo = [
        Plan((identity,), list(PLACES)[(n + k) % len(PLACES)], _FIRST_REFERENCE + k, hard.POOL)
        for n, identity in enumerate(cast)
        for k in range(CANDIDATES)
    ]
    taken = files.read(files.write(world, solo, folder))
    rng = SeededRandom(seed_of(world.seed, "names", *(identity.name for identity in cast)))
    said = [identity.phrase for identity in cast]
    names = [name for name, _ in draw_names(rng, len(cast), NameSettings().locales, said)]
    made = []
    for n, (identity, name) in enumerate(zip(cast, names, strict=True)):
        own = taken[n * CANDIDATES : (n + 1) * CANDIDATES]
        clear = sorted(own, key=lambda entry: _hidden(entry["objects"][0]))[:REFERENCES]
        views = [_crop(entry, folder) for entry in clear]
        thing = _object(clear[0]["objects"][0], views[0])
        made.append(Concept(name, reference_info(thing, rng), identity.category, tuple(views)))
    return tuple(made)


def _hidden(seen: dict[str, Any]) -> tuple[bool, float]:
    return seen["truncated"] or seen["occluded"], -seen["visible_share"]


def _crop(entry: dict[str, Any], folder: Path) -> View:
    whole = view_of(folder / "photos" / entry["file"])
    x1, y1, x2, y2 = entry["objects"][0]["box"]
    return View(whole.image_id, whole.uri, whole.width, whole.height, (x1, y1, x2, y2))


def _object(seen: dict[str, Any], view: View) -> Object:
    """As the builder of examples has it, so that a reference reads as in training."""
    expressions = tuple(seen["expressions"])
    x1, y1, x2, y2 = view.crop
    return Object(
        object_id=view.image_id,
        image_id=view.image_id,
        box=view.crop,
        label=seen["label"],
        area_share=(x2 - x1) * (y2 - y1) / (view.width * view.height),
        same_label_count=1,
        cut=seen["truncated"] or seen["occluded"],
        expressions=expressions,
        identity=seen["identity"],
        phrases=expressions,
    )


def _query(
    part: str,
    entry: dict[str, Any],
    names: dict[str, str],
    among: tuple[str, ...],
    folder: Path,
) -> Query:
    things = []
    for seen in entry["objects"]:
        x1, y1, x2, y2 = seen["box"]
        things.append(
            Thing(
                names[seen["identity"]],
                (x1, y1, x2, y2),
                seen["label"],
                tuple(seen["expressions"]),
            )
        )
    photo = view_of(folder / "photos" / entry["file"])
    return Query(part, photo, tuple(thing.name for thing in things), tuple(things), among)
