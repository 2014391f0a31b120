"""A kill between any two steps of a publish: readers see all of a version or nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import disk, files, publishing, shards
from storage.integrity import verify
from storage.store import Store
from tests.storage.stores import build, rows

pytestmark = pytest.mark.slow

STEPS: list[tuple[Any, str]] = [
    (files, "sync"),
    (files, "make_folder"),
    (files, "sync_folder"),
    (disk, "sync_folder"),  # of the folders that it makes
    (shards, "encode"),
    (shards, "check"),
    (files.os, "replace"),
    (files.os, "link"),
    (files.os, "unlink"),
    (publishing, "check_key"),
    (publishing, "create"),
    (publishing, "_create_manifest"),
    (Store, "commit"),
]
"""Operations that change the disk; each is a fault point before and after it."""

OLD, NEW = 10, 11
"""Rows of the tables of version 1 and of version 2."""


def publish_until(location: str, point: int) -> None:
    """Publish and commit the second version; die at the fault point of this number, if reached."""
    passed = 0

    def fault_point() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            fault_point()
            result = real(*args, **options)
            fault_point()
            return result

        return step

    for owner, name in STEPS:
        setattr(owner, name, watched(getattr(owner, name)))
    build(Store.open(location), 2, photos=NEW)


def seen(location: str) -> int:
    """What a reader sees: the version, with complete and consistent tables."""
    reader = Store.open(location)
    current = reader.current()  # one snapshot: the writer continues while we read
    dataset = reader.manifest(f"dataset@v{current.of('dataset').latest}")
    assert dataset.version in (1, 2)
    photos = OLD if dataset.version == 1 else NEW
    for made_from in dataset.inputs:
        value = dataset.version if made_from.name == "pairs" else 0
        assert reader.read(made_from.ref).sort_by("id").equals(rows(0, photos, value=value))
    assert {current.of(name).latest for name in ("images", "pairs")} == {dataset.version}
    return dataset.version


def test_killed_at_each_point_in_turn(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.storage.test_fault_points"])
    before = after = 0
    for point in range(1, 2000):
        location = str(tmp_path / str(point))
        build(Store.open(location, create=True), 1, photos=OLD)
        writer = context.Process(target=publish_until, args=(location, point))
        writer.start()
        looked = [seen(location)]
        while writer.is_alive():
            looked.append(seen(location))
        writer.join()
        looked.append(seen(location))
        assert looked == sorted(looked), "a reader never goes back to an older version"
        assert writer.exitcode in (0, -signal.SIGKILL)
        survivor = Store.open(location)
        assert verify(survivor) == []
        before, after = before + (looked[-1] == 1), after + (looked[-1] == 2)
        build(survivor, 2, photos=NEW)
        assert seen(location) == 2
        assert survivor.versions("dataset") == [1, 2]
        assert verify(survivor) == []
        if writer.exitcode == 0:
            break
    assert writer.exitcode == 0, "the last one lived"
    assert before > 40
    assert after > 2
