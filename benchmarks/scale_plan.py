"""Hours, memory, disk and price of a build of many photos, from measured costs of few.

    python benchmarks/scale_plan.py 16:64:0.70 20x16:64:0.70    # CORES:GB:PRICE of an hour
    python benchmarks/scale_plan.py 64:512 --photos 2e6 --seconds-a-photo 0.03
    python benchmarks/scale_plan.py --measure                   # minutes: writes unit_costs.json

A shape is `20x16:64:0.70`, 20 machines of 16 cores and 64 GB; without `20x` it is one, without a
price none is printed. Shards are computed by all cores of all machines, as with `--runner dask`,
everything else by the first machine. It assumes:

- A stage costs a base, and for each photo as much as between the smallest and the largest size of
  unit_costs.json. These photos are JPEGs of 1,024 pixels in the profile `photos` on a CPU, with
  four objects in three photos where there are only tables (`scale.py`). For other photos, models or
  a GPU give `--seconds-a-photo` of your own: of one core, so count a GPU as one.
- Not linear is the search for neighbors. It compares all pairs up to 200,000 objects of a
  collection or a split (`mining.exact_up_to`), and above that those of similar blocks, which
  k-means finds; its part still grows with the square. It uses all cores of the first machine, and
  the other stages that see all rows one.
- A core is as fast as one of the machine of unit_costs.json. Nothing waits for the network, for
  photos, or for machines that were lost.
- Memory is that of pairs, labels and examples, one after the other. Stages `images` and `objects`
  count with their time for few photos only.
- Disk is one version of all tables. Photos stay where they are, and count nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("unit_costs.json")

PHOTOS = tuple(10**power for power in range(5, 10))

OBJECTS = 4 / 3
"""Of a photo, in the tables of `scale.py`."""

SPLITS = (0.8, 0.1, 0.1)
"""Shares of the collection within which neighbors are searched again."""

EXACT_UP_TO, BLOCK, COMPARED, TRAINED_ON, ROUNDS, QUERIES = 200_000, 1000, 24_000, 64, 8, 512
"""As `mining.exact_up_to`, and in `repic.mining.blocks`."""


@dataclass(frozen=True)
class Line:
    """A cost that grows evenly with the photos; never less than nothing."""

    base: float
    each: float

    @classmethod
    def through(cls, points: Mapping[int, float]) -> Line:
        """The line through the smallest and the largest number of photos."""
        few, many = min(points), max(points)
        each = max(0.0, (points[many] - points[few]) / (many - few))
        return cls(max(0.0, points[few] - each * few), each)

    def at(self, photos: float) -> float:
        return self.base + self.each * photos


@dataclass(frozen=True)
class Costs:
    """What was measured: processor seconds, GB and bytes.

    Attributes:
        photo: Seconds of the shards of one photo, up to its vectors.
        rest: Seconds that one photo takes in those stages outside of shards, and in the scan.
        photo_bytes: Bytes that one photo takes in the store, up to its vectors.
        product: Seconds to compare two objects.
        stages: Stage that sees whole tables -> its lines.
    """

    photo: float
    rest: float
    photo_bytes: float
    product: float
    stages: Mapping[str, StageCosts]

    @classmethod
    def of(cls, measured: Mapping[str, Any], sizes: Sequence[int] = ()) -> Costs:
        """The costs in a file of `--measure`.

        Args:
            sizes: The only numbers of photos to use, at least two; all by default.
        """
        tables = {int(photos): found for photos, found in measured["tables"].items()}
        chosen = {photos: tables[photos] for photos in sizes or tables}
        found = measured["search"]
        product = found["processor_seconds"] / products(found["objects"])
        names = next(iter(chosen.values()))
        photos = measured["photos"]
        return cls(
            photo=sum(photos["in_shards"].values()) / photos["count"],
            rest=sum(photos["outside"].values()) / photos["count"],
            photo_bytes=photos["bytes"] / photos["count"],
            product=product,
            stages={name: StageCosts.of(name, chosen, product) for name in names},
        )


@dataclass(frozen=True)
class StageCosts:
    """Costs of a stage that sees whole tables.

    Attributes:
        alone: Processor seconds in one process, but for the search of neighbors.
        shards: Processor seconds that can be spent on any machine.
    """

    alone: Line
    shards: Line
    gb: Line
    size: Line

    @classmethod
    def of(cls, name: str, tables: Mapping[int, Mapping[str, Any]], product: float) -> StageCosts:
        def line(key: str) -> dict[int, float]:
            return {photos: float(found[name][key]) for photos, found in tables.items()}

        seconds, shards = line("processor_seconds"), line("in_shards")
        for photos in seconds:
            searched = product * searches(photos) if name == "pairs" else 0.0
            seconds[photos] = max(0.0, seconds[photos] - shards[photos] - searched)
        through = Line.through
        return cls(
            through(seconds), through(shards), through(line("peak_gb")), through(line("bytes"))
        )


def products(objects: float) -> float:
    """Pairs that a search for the neighbors of all objects compares."""
    if objects <= EXACT_UP_TO:
        return objects**2 / 2  # each serves both of its objects
    centers = objects / BLOCK
    kmeans = ROUNDS * TRAINED_ON * centers**2 + objects * centers + centers**2
    return objects * (COMPARED + QUERIES) + kmeans


def searches(photos: float) -> float:
    """Pairs that the stage `pairs` compares: of the collection, and of each split."""
    return sum(products(share * OBJECTS * photos) for share in (1.0, *SPLITS))


@dataclass(frozen=True)
class Shape:
    """Equal machines, and the price of one for an hour."""

    cores: int
    gb: float
    price: float | None = None
    count: int = 1

    @classmethod
    def read(cls, text: str) -> Shape:
        """Raises: ValueError: it is not `COUNTxCORES:GB:PRICE`."""
        number = r"\d+(?:\.\d+)?"
        found = re.fullmatch(rf"(?:([1-9]\d*)x)?([1-9]\d*):({number})(?::({number}))?", text)
        if not found:
            raise ValueError(f"{text!r} is not CORES:GB, such as 16:64, 16:64:0.70 or 20x16:64")
        count, cores, gb, price = found.groups()
        return cls(int(cores), float(gb), float(price) if price else None, int(count or 1))

    def __str__(self) -> str:
        price = "" if self.price is None else f", {self.price:g} an hour"
        each = f"{self.cores} cores, {self.gb:g} GB{price}"
        return each if self.count == 1 else f"{self.count} machines, each with {each}"


@dataclass(frozen=True)
class Estimate:
    """What a build takes.

    Attributes:
        hours: From start to end.
        alone: Hours of these in which only the first machine works.
        memory_gb: Of the first machine, in the stage that needs the most, which is `largest`.
        price: Of all machines for these hours; None where no price is known.
    """

    photos: int
    hours: float
    alone: float
    memory_gb: float
    largest: str
    fits: bool
    disk_gb: float
    price: float | None


def estimate(costs: Costs, shape: Shape, photos: int) -> Estimate:
    """What a build of so many photos takes on machines of this shape."""
    stages = costs.stages
    in_shards = costs.photo * photos + sum(stage.shards.at(photos) for stage in stages.values())
    alone = costs.rest * photos + sum(stage.alone.at(photos) for stage in stages.values())
    alone += costs.product * searches(photos) / shape.cores
    hours = (alone + in_shards / (shape.cores * shape.count)) / 3600
    largest = max(stages, key=lambda name: stages[name].gb.at(photos))
    memory = stages[largest].gb.at(photos)
    size = costs.photo_bytes * photos + sum(stage.size.at(photos) for stage in stages.values())
    return Estimate(
        photos=photos,
        hours=hours,
        alone=alone / 3600,
        memory_gb=memory,
        largest=largest,
        fits=memory <= shape.gb,
        disk_gb=size / 1e9,
        price=None if shape.price is None else hours * shape.count * shape.price,
    )


def most(costs: Costs, shape: Shape) -> int:
    """Most photos whose rows fit into the memory of the first machine."""
    lines = [stage.gb for stage in costs.stages.values()]
    return max(0, int(min((shape.gb - line.base) / line.each for line in lines if line.each)))


def print_table(shape: Shape, rows: Sequence[Estimate], fitting: int, month: float | None) -> None:
    """Print the estimates of a shape.

    Args:
        fitting: Most photos that fit.
        month: Price of a GB on disk for a month.
    """
    heads = [("photos", 15), ("hours", 10), ("of these alone", 15), ("memory GB", 11)]
    heads += [("disk GB", 11)]
    heads += [] if shape.price is None else [("machines", 13)]
    heads += [] if month is None else [("disk, a month", 14)]
    print(f"\n{shape}: up to {fitting:,} photos fit into memory")
    print("".join(f"{head:>{width}}" for head, width in heads))
    for row in rows:
        values = [f"{row.photos:,}", f"{row.hours:,.1f}", f"{row.alone:,.1f}"]
        values += [f"{row.memory_gb:,.1f}", f"{row.disk_gb:,.1f}"]
        values += [] if row.price is None else [f"{row.price:,.2f}"]
        values += [] if month is None else [f"{row.disk_gb * month:,.2f}"]
        text = "".join(f"{value:>{width}}" for value, (_, width) in zip(values, heads, strict=True))
        print(text if row.fits else f"{text}  does not fit: {row.largest}")


def read(file: Path) -> dict[str, Any]:
    """What `--measure` wrote."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def main() -> int:
    whole = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=whole[0], epilog=whole[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("shapes", nargs="*", type=Shape.read, metavar="[COUNTx]CORES:GB[:PRICE]", help="machines")
    add(
        "--photos", nargs="+", type=float, default=PHOTOS, metavar="N", help="1e5 to 1e9 by default"
    )
    add("--seconds-a-photo", type=float, metavar="S", help="of one core, up to vectors")
    add("--disk-price", type=float, metavar="PRICE", help="of a GB for a month")
    add("--costs", type=Path, default=FILE, metavar="FILE", help="what was measured (%(default)s)")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--measure", action="store_true", help="measure this machine first, and write FILE")
    add(
        "--sizes",
        type=int,
        nargs="+",
        default=[3000, 10000, 30000],
        metavar="N",
        help="of --measure: photos of drawn tables (%(default)s)",
    )
    add(
        "--pictures",
        type=int,
        default=32,
        metavar="N",
        help="of --measure: generated photos (%(default)s)",
    )
    options = parser.parse_args()
    if options.measure:
        from benchmarks import unit_costs

        if len(set(options.sizes)) < 2:
            parser.error("--sizes: a line needs two numbers of photos")
        unit_costs.write(options.costs, options.sizes, options.pictures)
    elif not options.shapes:
        parser.error("give the shape of a machine, such as 16:64, or --measure")
    measured = read(options.costs)
    costs = Costs.of(measured)
    if options.seconds_a_photo is not None:
        costs = Costs(**{**vars(costs), "photo": options.seconds_a_photo})
    plans = [[estimate(costs, shape, int(n)) for n in options.photos] for shape in options.shapes]
    if options.json:
        found = {str(s): [asdict(e) for e in p] for s, p in zip(options.shapes, plans, strict=True)}
        print(json.dumps(found))
        return 0
    print(f"Costs measured on {measured['machine']}; see --help for what is assumed.")
    for shape, rows in zip(options.shapes, plans, strict=True):
        print_table(shape, rows, most(costs, shape), options.disk_price)
    return 0


if __name__ == "__main__":
    sys.exit(main())
