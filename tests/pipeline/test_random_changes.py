"""Random changes of photos, texts and settings: each build equals one from nothing."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from repic.mining import increments
from storage.gc import gc
from storage.store import Store
from tests.builds import Album, build, contents

pytestmark = pytest.mark.slow

STEPS = 10

CAPTIONS = ("A quiet scene by the dusty harbor.", "Two things on a shelf.")

SETTINGS: dict[str, tuple[str, ...]] = {
    "examples.total": ("20", "60", "null"),
    "examples.shares": ("{oct: 1, ict: 1}", "{oct: 1, vlt: 2, ict: 1}", "null"),
    "examples.seed": ("0", "1"),
    "examples.names.locales": ("[en_US]", "[de_DE, fr_FR]"),
    "examples.same_photo.use": ("never", "always"),
    "examples.vlt.max_lazy_iou": ("0.3", "1"),
    "splits.salt": ("repic", "other"),
    "mining.hard_per_object": ("1", "4"),
    "runtime.shard_rows": ("3", "16"),
}


class Changes:
    """An album that changes at random; each method makes one change."""

    def __init__(self, album: Album, seed: int) -> None:
        self.album = replace(album, entries=tuple(copy.deepcopy(album.entries)))
        self.draw = random.Random(seed)
        self.chosen: dict[str, str] = {}
        self.copies = 0

    def entry(self) -> dict[str, Any]:
        return self.draw.choice([entry for entry in self.album.entries if entry["objects"]])

    def thing(self) -> dict[str, Any]:
        return self.draw.choice(self.entry()["objects"])

    def path(self, entry: dict[str, Any]) -> Path:
        return self.album.folder / "photos" / entry["file"]

    def fresh(self) -> str:
        self.copies += 1
        return f"new {self.copies}.png"

    def add(self) -> None:
        self.album = self.album.grown()

    def remove(self) -> None:
        gone = self.entry()
        kept = tuple(entry for entry in self.album.entries if entry is not gone)
        self.album = replace(self.album, entries=kept)

    def rename(self) -> None:
        entry = self.entry()
        before, entry["file"] = entry["file"], self.fresh()
        shutil.copy(self.album.folder / "photos" / before, self.path(entry))

    def replace(self) -> None:
        path = self.path(self.entry())
        ImageOps.mirror(Image.open(path).convert("RGB")).save(path)

    def duplicate(self) -> None:
        entry = copy.deepcopy(self.entry())
        source, entry["file"] = self.path(entry), self.fresh()
        Image.open(source).convert("RGB").reduce(2).resize((96, 96)).save(self.path(entry))
        self.album = replace(self.album, entries=(*self.album.entries, entry))

    def caption(self) -> None:
        self.entry()["caption"] = self.draw.choice(CAPTIONS)

    def label(self) -> None:
        self.thing()["label"] = self.thing()["label"]

    def identity(self) -> None:
        self.thing()["identity"] = self.thing()["identity"]

    def expressions(self) -> None:
        self.thing()["expressions"] = self.draw.choice([[], ["the odd one near the door"]])

    def box(self) -> None:
        thing = self.thing()
        x1, y1, x2, y2 = thing["box"]
        thing["box"] = [x1, y1, x2 - min(3, (x2 - x1) / 2), y2]

    def setting(self) -> None:
        key = self.draw.choice(sorted(SETTINGS))
        self.chosen[key] = self.draw.choice(SETTINGS[key])


CHANGES: tuple[Callable[[Changes], None], ...] = (
    *(Changes.add, Changes.remove, Changes.rename, Changes.replace, Changes.duplicate),
    *(Changes.caption, Changes.label, Changes.identity, Changes.expressions, Changes.box),
    *(Changes.setting, Changes.setting, Changes.setting),
)


@pytest.mark.parametrize("seed", [0, 1])
def test_any_change_gives_what_a_build_from_nothing_gives(
    seed: int, album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increments, "LEAST", 3)
    world = Changes(album.copy(tmp_path / "album"), seed)
    store = Store.open(tmp_path / "store", create=True)
    for step in range(STEPS):
        done = [world.draw.choice(CHANGES) for _ in range(world.draw.randint(1, 2))]
        for change in done:
            change(world)
        overrides = (f"{key}={value}" for key, value in world.chosen.items())
        settings = world.album.written().settings(*overrides)
        fresh = Store.open(tmp_path / f"fresh {step}", create=True)
        told = contents(build(settings, store))
        assert told == contents(build(settings, fresh)), [change.__name__ for change in done]
        if world.draw.random() < 0.25:
            gc(store, delete=True, keep_versions=1)
