"""Photos per second of the generated world, in one process, at common sizes.

    python benchmarks/world_speed.py            # claim: >= 100 photos/s per core at 112 to 168 px

Two cases: `cold` draws from all identities, so that nearly every sprite is new; `warm` has 60
identities, as in the demo, with their sprites cached. CPU time, so that other processes do not
count; textures are cached before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice

from repic.sample import backgrounds, composition
from repic.sample.composition import PhotoPlan
from repic.sample.world import World

SIZES = (112, 140, 168)


def rate(world: World, plans: list[PhotoPlan]) -> float:
    """Photos per second of CPU time."""
    start = time.process_time()
    for plan in plans:
        world.take(plan)
    return len(plans) / (time.process_time() - start)


def some_plans(identities: int, count: int) -> list[PhotoPlan]:
    chosen = composition.choose(identities, lambda _: "all")
    return list(islice(composition.plans(chosen, lambda _: "all"), count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400, help="photos per case (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    rates: dict[str, dict[str, float]] = {}
    for size in SIZES:
        world = World(size)
        for place in backgrounds.PLACES:
            for variant in range(backgrounds.VARIANTS):
                backgrounds.texture(place, 2 * size, world.seed, variant)
        cold = rate(world, some_plans(len(world.identities), options.count))
        few = some_plans(60, options.count)
        rate(world, few)
        rates[str(size)] = {"cold": round(cold, 1), "warm": round(rate(world, few), 1)}
        print(f"{size} px: {cold:5.0f} photos/s cold, {rates[str(size)]['warm']:5.0f} warm")
    if options.json:
        print(json.dumps(rates))


if __name__ == "__main__":
    main()
