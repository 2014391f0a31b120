"""Small real builds for tests: a folder of generated photos with a COCO file beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from repic import config
from repic.config import Settings
from repic.mining.splits import split_of
from repic.pipeline.build import BuildResult
from repic.pipeline.execution import build as run_build
from repic.pipeline.scan import scan
from repic.sample import photo_files
from repic.sample.world import World
from repic.tables import TABLES
from storage.store import Store

PHOTOS, MORE = 40, 5
"""Number of photos of the shared build, and number that a test can add."""

IDENTITIES, SIZE = 12, 96

OF_MODELS = frozenset(
    {"rollouts", "captions", "answers", "scores", "metrics", "promotions", "forgotten"}
)
"""Tables that training, evaluation and `repic forget` write; no build writes them."""

PROGRAM = (sys.executable, "-m", "repic.cli")


@dataclass(frozen=True)
class Album:
    """Photos in a folder, and their ground truth.

    Attributes:
        folder: Holds `photos/` and the COCO file.
        encoder: A tiny OpenCLIP model as `local-dir:`; it loads and runs fast.
        entries: Of the generator's index, in order; the photos that are in the COCO file now.
        rest: Entries that can be added.
    """

    folder: Path
    encoder: str
    entries: tuple[dict[str, Any], ...]
    rest: tuple[dict[str, Any], ...] = ()

    @classmethod
    def make(cls, folder: Path, world: Path, encoder: str) -> Album:
        """PHOTOS photos, with MORE to add, rendered once into `world`."""
        maker = World(SIZE, seed=3)
        plans = maker.dataset(
            PHOTOS + MORE, IDENTITIES, lambda name: split_of(name, config.SplitSettings())
        )
        entries = photo_files.read(photo_files.write(maker, plans, world))
        shutil.copytree(world / "photos", folder / "photos")
        return cls(folder, encoder, tuple(entries[:PHOTOS]), tuple(entries[PHOTOS:])).written()

    def copy(self, folder: Path) -> Album:
        """A copy of the photos, for a test that changes them."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def grown(self) -> Album:
        """The album with the rest of its photos added."""
        return replace(self, entries=(*self.entries, *self.rest), rest=()).written()

    def without(self, count: int) -> Album:
        """The album without its first photos."""
        return replace(self, entries=self.entries[count:]).written()

    def file(self, number: int) -> Path:
        """Path of a photo."""
        return self.folder / "photos" / self.entries[number]["file"]

    def written(self) -> Album:
        """Write the COCO file; returns the album."""
        labels = sorted({o["label"] for e in (*self.entries, *self.rest) for o in e["objects"]})
        images, annotations, refs = [], [], []
        for number, entry in enumerate(self.entries):
            images.append({"id": number, "file_name": entry["file"]})
            annotations.append({"image_id": number, "caption": entry["caption"]})
            for thing in entry["objects"]:
                x1, y1, x2, y2 = thing["box"]
                key = len(annotations)
                annotations.append(
                    {
                        "id": key,
                        "image_id": number,
                        "category_id": labels.index(thing["label"]),
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "identity": thing["identity"],
                    }
                )
                refs.append({"image_id": number, "ann_id": key, "sentences": thing["expressions"]})
        categories = [{"id": number, "name": label} for number, label in enumerate(labels)]
        coco = {"images": images, "annotations": annotations, "categories": categories}
        (self.folder / "instances.json").write_text(json.dumps(coco))
        (self.folder / "refs.json").write_text(json.dumps(refs))
        return self

    @property
    def source(self) -> dict[str, Any]:
        return {
            "kind": "coco",
            "path": str(self.folder / "instances.json"),
            "images": str(self.folder / "photos"),
            "refs": str(self.folder / "refs.json"),
            "identity": "annotation",
        }

    @property
    def overrides(self) -> tuple[str, ...]:
        """Overrides: boxes from the source, vectors from the tiny model."""
        return (
            "detector.kind=annotation",
            f"encoder.pretrained={self.encoder}",
            "encoder.view=crop",
            "runtime.threads=1",
        )

    @property
    def arguments(self) -> list[str]:
        """Arguments with which `repic` builds it."""
        source = [f"source.{key}={value}" for key, value in self.source.items()]
        return ["build", *(f"--set={change}" for change in (*source, *self.overrides))]

    def settings(self, *overrides: str) -> Settings:
        """Settings of a build of these photos, with changes."""
        return config.load("photos", (*self.overrides, *overrides), source=self.source)


def build(settings: Settings, store: Store) -> BuildResult:
    """Scan and build, in this process."""
    return run_build(settings, store, scan(settings))


@dataclass(frozen=True)
class Built:
    """A build that runs once; tests work on copies of its store."""

    album: Album
    location: Path
    outcome: BuildResult

    @property
    def store(self) -> Store:
        """The shared store; read-only."""
        return Store.open(self.location)

    def copy(self, location: Path) -> Store:
        shutil.copytree(self.location, location)
        return Store.open(location)


def tables(store: Store, outcome: BuildResult) -> Mapping[str, pa.Table]:
    """All tables of a build by name."""
    return {name: store.read(manifest.ref) for name, manifest in outcome.tables.items()}


def computed_by(outcome: BuildResult) -> dict[str, int]:
    """Inputs that a build computed, but for examples, which depend on pairs of photos."""
    return {name: count for name, count in outcome.processed.items() if name != "examples"}


def contents(outcome: BuildResult) -> dict[str, tuple[str, str]]:
    """Fingerprint and content of each table; equal for equal builds."""
    every = {**outcome.tables, "dataset": outcome.dataset}
    return {name: (manifest.fingerprint, manifest.content) for name, manifest in every.items()}


def keyed(table: pa.Table, name: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by key."""
    return {tuple(row[k] for k in TABLES[name].key): row for row in table.to_pylist()}


def repic(
    *arguments: str, timeout: float = 300, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process, as a user does; `env` is added to ours."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
        **options,
    )


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start the command without waiting for it."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
