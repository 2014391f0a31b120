"""Write photos of the generated world, their index and a contact sheet.

python -m repic.sample OUT --count 40
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from repic.config import SplitSettings
from repic.mining.splits import split_of
from repic.sample import composition, contact_sheet, hard_cases, photo_files
from repic.sample.world import World


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m repic.sample", description="Write photos of the generated world."
    )
    parser.add_argument("out", type=Path, help="output folder")
    parser.add_argument("--count", type=int, default=40, help="photos (%(default)s)")
    parser.add_argument("--identities", type=int, default=20, help="identities (%(default)s)")
    parser.add_argument(
        "--look-alikes",
        type=float,
        default=composition.LOOK_ALIKES,
        help="how likely an identity brings a look-alike (%(default)s)",
    )
    parser.add_argument("--size", type=int, default=168, help="side in pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (%(default)s)")
    parser.add_argument("--hard", choices=hard_cases.KINDS, help="hard cases of this kind instead")
    options = parser.parse_args(arguments)
    try:
        world = World(options.size, options.seed)
        if options.hard:
            plans = hard_cases.dataset(options.hard, options.count, options.seed)
        else:
            plans = world.dataset(
                options.count,
                options.identities,
                lambda name: split_of(name, SplitSettings()),
                options.look_alikes,
            )
    except ValueError as error:
        parser.error(str(error))
    photo_files.write(world, plans, options.out)
    contact_sheet.contact_sheet(world.take(plan) for plan in plans).save(options.out / "sheet.png")
    print(f"{len(plans)} photos, their index and sheet.png are in {options.out}")


if __name__ == "__main__":
    main()
