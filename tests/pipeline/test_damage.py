"""Damaged results and lost files are found, computed again, and never published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storage import integrity
from storage.store import Store
from tests.builds import Built, build, contents

Main = Callable[..., tuple[int, str, str]]


def flip(store: Store, path: str, at: float = 0.5) -> None:
    """Change one bit of a file."""
    data = bytearray(store.files.read(path))
    data[int(at * (len(data) - 1))] ^= 1
    store.files.replace(path, bytes(data))


def of_kind(store: Store, folder: str) -> list[str]:
    return sorted(store.files.find(folder))


@pytest.mark.parametrize("stage", ["probes", "detections", "embeddings"])
def test_a_flipped_bit_in_a_kept_result_is_not_published(
    built: Built, tmp_path: Path, stage: str
) -> None:
    store, clean = built.copy(tmp_path / "store"), built.copy(tmp_path / "clean")
    grown = built.album.copy(tmp_path / "album").grown()
    # The last column chunk lies before the footer, so that the footer stays readable.
    for path in of_kind(store, f"parts/{stage}"):
        flip(store, path, 0.3)
    outcome = build(grown.settings(), store)
    assert contents(outcome) == contents(build(grown.settings(), clean))
    assert {path.split("/")[1] for path in outcome.repaired} == {stage}
    assert set(outcome.repaired.values()) == {"its bytes have changed"}
    assert integrity.verify(store, "dataset@latest") == []


@pytest.mark.parametrize("damage", ["lost", "flipped", "cut"])
def test_a_build_makes_lost_and_damaged_files_of_its_version_again(
    built: Built, tmp_path: Path, damage: str, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    broken = [built.outcome.tables[name].shards[0].path for name in ("probes", "pairs", "objects")]
    for path in broken:
        if damage == "lost":
            store.files.remove(path)
        elif damage == "cut":
            store.files.replace(path, store.files.read(path)[:-9])
        else:
            flip(store, path)
    assert {problem.path for problem in integrity.verify(store)} == set(broken)
    code, out, err = repic_main(*built.album.arguments, f"--store={store.location}")
    assert code == 0, err
    assert "Repaired dataset@v1" in out
    assert all(f"computed again: {path}" in out for path in broken)
    assert integrity.verify(store) == []
    code, out, err = repic_main(*built.album.arguments, f"--store={store.location}")
    assert "Nothing new: this is dataset@v1" in out
