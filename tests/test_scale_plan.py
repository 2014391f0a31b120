"""The arithmetic of `benchmarks/scale_plan.py`, against what was measured at three sizes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import scale_plan
from benchmarks.scale_plan import Costs, Line, Shape, StageCosts
from repic import config
from repic.mining import blocks

MEASURED = scale_plan.read(scale_plan.FILE)
FEW, MORE, MOST = sorted(map(int, MEASURED["tables"]))


@pytest.mark.parametrize("stage", ["pairs", "labels", "examples"])
def test_two_sizes_foretell_the_third(stage: str) -> None:
    """Of three times the photos; docs/performance.md has these shares.

    A second and 0.15 GB are what runs of a small stage differ by. Files of many pairs have too many
    ids for a dictionary of Parquet, and so more bytes.
    """
    costs = Costs.of(MEASURED, [FEW, MORE])
    found, line = MEASURED["tables"][str(MOST)][stage], costs.stages[stage]
    seconds = line.alone.at(MOST) + line.shards.at(MOST)
    if stage == "pairs":
        seconds += costs.product * scale_plan.searches(MOST)
    assert seconds == pytest.approx(found["processor_seconds"], rel=0.25, abs=1)
    assert line.gb.at(MOST) == pytest.approx(found["peak_gb"], rel=0.3, abs=0.15)
    share = 0.4 if stage == "pairs" else 0.1
    assert line.size.at(MOST) == pytest.approx(found["bytes"], rel=share)


LARGER = {
    "pairs": {20_000: (22, 1.15), 200_000: (302, 2.39)},
    "examples": {20_000: (60, 0.43), 200_000: (672, 1.23)},
}
"""Stage -> photos -> processor seconds and GB: the table of docs/performance.md."""


@pytest.mark.parametrize("stage", LARGER)
def test_small_sizes_foretell_large_ones(stage: str) -> None:
    """Of seconds their growth: those of the table are of a busier machine."""
    costs = Costs.of(MEASURED)
    line = costs.stages[stage]

    def seconds(photos: int) -> float:
        searched = costs.product * scale_plan.searches(photos) if stage == "pairs" else 0
        return line.alone.at(photos) + line.shards.at(photos) + searched

    (few, (short, _)), (many, (long, _)) = LARGER[stage].items()
    assert seconds(many) / seconds(few) == pytest.approx(long / short, rel=0.25)
    for photos, (_, gb) in LARGER[stage].items():
        assert 0.9 * gb < line.gb.at(photos) < 1.3 * gb, "rather too much than too little"


@pytest.mark.parametrize("photos", [FEW, MORE, MOST])
def test_a_plan_of_a_measured_size_is_what_was_measured(photos: int) -> None:
    one = scale_plan.estimate(Costs.of(MEASURED), Shape(1, 1000), photos)
    pictures = MEASURED["photos"]
    each = sum([*pictures["in_shards"].values(), *pictures["outside"].values()]) / pictures["count"]
    stages = MEASURED["tables"][str(photos)].values()
    seconds = each * photos + sum(found["processor_seconds"] for found in stages)
    assert one.hours * 3600 == pytest.approx(seconds, rel=0.05)
    assert one.memory_gb == pytest.approx(max(found["peak_gb"] for found in stages), rel=0.25)
    size = pictures["bytes"] / pictures["count"] * photos + sum(f["bytes"] for f in stages)
    assert one.disk_gb * 1e9 == pytest.approx(size, rel=0.1)


EVEN = Costs(
    photo=0.36,
    rest=0.0,
    photo_bytes=1000,
    product=0.0,
    stages={
        "pairs": StageCosts(Line(0, 0.0036), Line(0, 0), Line(1, 1e-5), Line(0, 500)),
        "examples": StageCosts(Line(0, 0), Line(0, 0.36), Line(2, 1e-6), Line(0, 500)),
    },
)


def test_a_plan_by_hand() -> None:
    """100,000 photos: 20 hours of a core in shards, a tenth of an hour on one machine."""
    found = scale_plan.estimate(EVEN, Shape.read("5x4:8:2"), 100_000)
    assert (found.hours, found.alone) == (pytest.approx(1.1), pytest.approx(0.1))
    assert (found.memory_gb, found.largest, found.fits) == (2.1, "examples", True)
    assert found.disk_gb == pytest.approx(0.2)
    assert found.price == pytest.approx(11)
    more = scale_plan.estimate(EVEN, Shape.read("4:8"), 1_000_000)
    assert (more.largest, more.fits, more.price) == ("pairs", False, None)
    assert scale_plan.most(EVEN, Shape.read("4:8")) == 700_000


def test_neighbors_are_counted_as_they_are_searched() -> None:
    assert scale_plan.products(1000) == 500_000
    assert scale_plan.products(200_001) < scale_plan.products(200_000)
    ratio = scale_plan.products(2e9) / scale_plan.products(1e9)
    assert 3 < ratio < 4, "k-means compares each object with a thousandth of them"
    settings = config.load("photos")
    shares = (settings.splits.validation, settings.splits.test)
    assert (1 - sum(shares), *shares) == scale_plan.SPLITS
    assert settings.mining.exact_up_to == scale_plan.EXACT_UP_TO
    names = ("COMPARED", "TRAINED_ON", "ROUNDS", "QUERIES")
    assert [getattr(scale_plan, name) for name in names] == [getattr(blocks, n) for n in names]
    assert scale_plan.BLOCK == blocks.SIZE


@pytest.mark.parametrize("text", ["16", "16:", "0:64", "x16:64", "16:64:cheap", "0x16:64"])
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not CORES:GB"):
        Shape.read(text)


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, scale_plan.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_what_it_prints() -> None:
    done = ran("16:64", "20x16:64:0.70", "--disk-price", "0.02")
    assert done.returncode == 0, done.stderr
    assert f"Costs measured on {MEASURED['machine']}" in done.stdout
    assert "20 machines, each with 16 cores, 64 GB, 0.7 an hour: up to " in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("  1,000,000,000")]
    assert [line.endswith("does not fit: pairs") for line in lines] == [True, True]
    printed = json.loads(ran("16:64", "--photos", "1e5", "--seconds-a-photo", "0", "--json").stdout)
    [[row]] = printed.values()
    assert row["photos"] == 100_000
    assert row["hours"] < scale_plan.estimate(Costs.of(MEASURED), Shape(16, 64), 100_000).hours
    assert "give the shape of a machine" in ran().stderr


@pytest.mark.slow
def test_costs_are_measured_again(tmp_path) -> None:
    file = tmp_path / "costs.json"
    options = ("--measure", "--sizes", "60", "120", "--pictures", "16", "--costs", str(file))
    done = ran(*options, "4:8", "--photos", "1000")
    assert done.returncode == 0, done.stderr
    again = scale_plan.read(file)
    assert {*again, *again["photos"]} == {*MEASURED, *MEASURED["photos"]}
    assert [found.keys() for found in again["tables"].values()] == [
        MEASURED["tables"][str(MOST)].keys()
    ] * 2
    assert scale_plan.estimate(Costs.of(again), Shape(4, 8), 1000).hours > 0
