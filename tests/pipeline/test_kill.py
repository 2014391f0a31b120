"""SIGKILL at any moment, full disks, rivals: published versions are complete, garbage is found.

Slow: each test runs the real program many times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from storage import integrity
from storage.gc import gc
from storage.store import Store
from tests.builds import Album, Built, contents, repic, start
from tests.builds import build as build_here

pytestmark = pytest.mark.slow

KILLS = 20
SMALL_SHARDS = "--set=runtime.shard_rows=4"


def written(location: Path) -> int:
    """Number of files of a store."""
    return sum(len(names) for _, _, names in os.walk(location))


def kill_when(arguments: list[str], location: Path, files: int, pause: float) -> bool:
    """Run the program and kill it `pause` seconds after it wrote its `files`-th file.

    Returns:
        Whether it was killed: it may end before.
    """
    running = start(arguments)
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if written(location) >= files:
            time.sleep(pause)
            break
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    return running.returncode == -signal.SIGKILL


def test_a_kill_at_any_moment_leaves_a_build_that_goes_on(
    album: Album, built: Built, tmp_path: Path
) -> None:
    """Twenty kills, at moments spread over all writes, in fresh and in reused stores."""
    draw = random.Random(20)
    location = tmp_path / "store"
    arguments = [*album.arguments, SMALL_SHARDS, f"--store={location}"]
    whole = build_here(
        album.settings("runtime.shard_rows=4"), Store.open(tmp_path / "ruler", create=True)
    )
    assert contents(whole) == contents(built.outcome)
    total = written(tmp_path / "ruler")
    killed = 0
    for kill in range(KILLS):
        if kill % 5 == 0:
            shutil.rmtree(location, ignore_errors=True)
        before = written(location)
        at = before + max(1, round((total - before) * draw.random()))
        killed += kill_when(arguments, location, at, draw.random() * 0.02)
        store = Store.open(location, create=True)
        assert integrity.verify(store) == []
        if kill % 5 == 4:
            done = repic(*arguments)
            assert done.returncode == 0, done.stderr
            dataset = store.manifest("dataset@latest")
            assert dataset.fingerprint == whole.dataset.fingerprint
            for name, manifest in whole.tables.items():
                assert store.manifest(f"{name}@latest").content == manifest.content, name
            assert dataset.content == whole.dataset.content
            assert dataset.version == 1
            assert repic("verify", f"--store={location}").returncode == 0
            assert gc(store, delete=True).deleted  # no lease of a dead build blocks it
            assert not store.files.find("tmp")
            assert not store.files.find("leases")
            reached = {"manifests", "refs", "shards", "parts", "store.json", "catalog.duckdb"}
            assert {path.split("/")[0] for path in store.files.find("")} <= reached
            assert integrity.verify(store) == []
            assert not build_here(album.settings(), store).published
    assert killed >= KILLS * 3 // 4


def test_a_kill_while_a_second_version_is_made_leaves_the_first(
    album: Album, built: Built, tmp_path: Path
) -> None:
    change = "encoder.margin=0.1"
    location = tmp_path / "store"
    store = built.copy(location)
    arguments = [*album.arguments, SMALL_SHARDS, f"--set={change}", f"--store={location}"]
    for files in (1, 8, 14):
        kill_when(arguments, location, written(location) + files, 0)
        if store.current().of("dataset").latest == 1:  # all tables move together, or none
            assert {ref.latest for ref in store.current().refs.values()} == {1}
        assert integrity.verify(store) == []
        asked = repic("sql", "select count(*) from pair_photos", f"--store={location}")
        assert asked.returncode == 0, asked.stderr
    assert repic(*arguments).returncode == 0
    fresh = Store.open(tmp_path / "fresh", create=True)
    assert store.manifest("dataset@latest").content == (
        build_here(album.settings(change), fresh).dataset.content
    )


def test_two_builds_at_once(album: Album, built: Built, tmp_path: Path) -> None:
    """Other photos, other settings and an identical build, all into one store."""
    location = tmp_path / "store"
    other = album.copy(tmp_path / "other").without(10)
    builds = [
        [*album.arguments, SMALL_SHARDS],
        [*album.arguments, SMALL_SHARDS],
        [*other.arguments, SMALL_SHARDS],
        [*album.arguments, "--set=examples.seed=7"],
    ]
    running = [start([*arguments, f"--store={location}"]) for arguments in builds]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    store = Store.open(location)
    assert store.versions("dataset") == [1, 2, 3]  # two were the same
    fingerprints = {store.manifest(f"dataset@v{v}").fingerprint for v in (1, 2, 3)}
    alone = Store.open(tmp_path / "alone", create=True)
    for settings in (album.settings(), other.settings(), album.settings("examples.seed=7")):
        expected = build_here(settings, alone).dataset
        assert expected.fingerprint in fingerprints
        made = store.find("dataset", expected.fingerprint)
        assert made is not None
        assert made.content == expected.content
    latest = store.manifest("dataset@latest")
    for bound in latest.inputs:  # `latest` of all tables is from the same build
        assert store.manifest(f"{bound.name}@latest").version == bound.version
    assert integrity.verify(store) == []
    assert gc(store, delete=True).deleted
    assert not store.files.find("tmp")
    assert integrity.verify(store) == []
    counted = repic("sql", "select count(*) from v3.examples", f"--store={location}")
    assert counted.returncode == 0, counted.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full(album: Album, built: Built, small_disk: Path) -> None:
    location = small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(450_000))
    done = repic(*album.arguments, f"--store={location}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("repic: No space left to write")
    assert "Traceback" not in done.stderr
    ballast.unlink()
    if small_disk.stat():
        done = repic(*album.arguments, f"--store={location}")
        if done.returncode == 2:  # the store needs more than this disk has
            assert "No space left" in done.stderr
        assert integrity.verify(Store.open(location)) == []
