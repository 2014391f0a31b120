"""Damaged results and lost files are found, computed again, and never published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.pipeline.build import Build
from repic.pipeline.scan import scan
from storage import integrity
from storage.errors import DamagedError
from storage.manifest import Origin
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


def test_a_table_that_is_lost_while_its_build_runs_is_named(built: Built, tmp_path: Path) -> None:
    store, settings = built.copy(tmp_path / "store"), built.album.settings()
    lost = store.manifest("objects@latest").shards[0].path
    Path(store.files.full(lost)).unlink()
    with pytest.raises(DamagedError, match="it is gone") as caught:
        Build(settings, store, scan(settings)).finish()
    assert lost in str(caught.value)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_lost_shards_are_computed_as_they_were_cut(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    lost = built.outcome.tables["detections"].shards
    assert len(lost) == 3
    for shard in lost[:2]:
        store.files.remove(shard.path)
    again = build(built.album.settings(), store)
    assert again.processed["detections"] > 16
    assert contents(again) == contents(built.outcome)
    assert again.dataset.version == 1
    assert integrity.verify(store) == []


def test_repair_rebuilds_what_verify_finds(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    tables = built.outcome.tables
    store.files.remove(tables["examples"].shards[0].path)
    flip(store, tables["images"].shards[0].path)
    for stage in ("probes", "detections", "embeddings"):
        flip(store, tables[stage].shards[0].path)
    store.files.replace("manifests/pairs/v000001.json", b"\0\0")
    store.files.replace("refs/000001.json", b"{}")
    code, out, _ = repic_main("verify", at)
    assert (code, "its manifest cannot be read" in out) == (1, True)
    code, out, err = repic_main("repair", at)
    assert code == 0, err
    assert out.count("was computed again") == 5
    assert "pairs@v1 is back" in out
    assert repic_main("verify", at)[:2] == (0, "Clean: every file matches its manifest.\n")
    assert contents(build(built.album.settings(), store)) == contents(built.outcome)
    assert store.resolve("dataset@latest").version == 1


def test_repair_says_what_it_cannot_and_why(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    album = built.album.copy(tmp_path / "album").without(3)
    outcome = build(album.settings(), store)
    album.without(2)
    made = store.publish_files(
        "checkpoint", {"a.bin": b"weights"}, Origin(fingerprint="c"), kind="checkpoint"
    )
    store.files.remove(made.files[0].path)
    for path in store.files.find("shards/pairs"):
        store.files.remove(path)
    code, out, _ = repic_main("repair", "--json", at)
    left = {item["problem"]["artifact"]: item for item in json.loads(out)["left"]}
    assert code == 1
    assert left["checkpoint@v1"]["remedy"] == "train again: repic train"
    remedy = left[str(outcome.tables["pairs"].ref)]["remedy"]
    assert "its photos or labels have changed" in remedy
    assert "`repic build` publishes a new version" in remedy


def test_a_lost_dataset_of_a_checkpoint_is_built_again(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    origin = Origin(fingerprint="c", inputs=(built.outcome.dataset.as_input(),))
    store.publish_files("checkpoint", {"a.bin": b"weights"}, origin, kind="checkpoint")
    store.files.replace("manifests/dataset/v000001.json", b"junk")
    code, out, _ = repic_main("repair", "--json", at)
    left = {item["problem"]["artifact"]: item["remedy"] for item in json.loads(out)["left"]}
    assert code == 1
    assert left["checkpoint@v1"].startswith("run the command again that made dataset@v1")
    assert left["checkpoint@v1"].endswith("train again: repic train")
    assert repic_main(*built.album.arguments, at)[0] == 0
    code, out, _ = repic_main("repair", at)
    assert (code, "dataset@v1 is back: dataset@v2" in out) == (0, True)
    assert integrity.verify(store) == []
