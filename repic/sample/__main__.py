"""Write photos of the generated world, their index and a contact sheet, for a person to look at.

python -m repic.sample OUT --count 40
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from repic.config import SplitSettings
from repic.mining.splits import split_of
from repic.sample import contact_sheet, hard_cases, photo_files
from repic.sample.world import World


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m repic.sample", description="Write photos of the generated world."
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--count", type=int, default=40, help="photos (%(default)s)")
    parser.add_argument("--identities", type=int, default=20, help="identities (%(default)s)")
    parser.add_argument("--size", type=int, default=168, help="pixels of a side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which world (%(default)s)")
    parser.add_argument("--hard", choices=hard_cases.KINDS, help="hard cases of this kind instead")
    options = parser.parse_args(arguments)
    try:
        world = World(options.size, options.seed)
        if options.hard:
            made = hard_cases.dataset(options.hard, options.count, options.seed)
        else:
            made = world.dataset(
                options.count, options.identities, lambda name: split_of(name, SplitSettings())
            )
    except ValueError as error:
        parser.error(str(error))
    photo_files.write(world, made, options.out)
    contact_sheet.contact_sheet(world.take(plan) for plan in made).save(options.out / "sheet.png")
    print(f"{len(made)} photos, their index and sheet.png are in {options.out}")


if __name__ == "__main__":
    main()
