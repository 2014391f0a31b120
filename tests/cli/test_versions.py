"""log, show, diff, lineage, verify, tag, gc."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import jobs
from storage.jobs import UnfinishedJob
from storage.leases import Lease
from storage.store import Store
from tests.builds import PHOTOS, Built, build

Main = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def two(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A read-only store with two builds; the second has other pairs and examples."""
    store = built.copy(tmp_path_factory.mktemp("two") / "store")
    build(built.album.settings("mining.hard_per_object=1"), store)
    return store


def test_a_dataset_which_binds_tables_has_no_size(two: Store, repic_main: Main) -> None:
    for name, sized in (("dataset", False), ("examples", True)):
        code, out, err = repic_main("log", name, f"--store={two.location}")
        assert code == 0, err
        assert bool(re.search(r"\d ([kKM]i?)?B\b", out)) is sized


@pytest.fixture
def ask(two: Store, repic_main: Main) -> Ask:
    """JSON output of a command on the store with two builds."""

    def run(*arguments: str) -> Any:
        code, out, err = repic_main(*arguments, "--json", f"--store={two.location}")
        assert code == 0, err
        return json.loads(out)

    return run


def test_log_lists_the_newest_first(two: Store, ask: Ask, repic_main: Main) -> None:
    assert [v["version"] for v in ask("log")] == [2, 1]
    assert [v["version"] for v in ask("log", "pairs", "--limit", "1")] == [2]
    assert [v["version"] for v in ask("log", "images")] == [1]
    code, out, _ = repic_main("log", f"--store={two.location}")
    assert code == 0
    first, second = (line for line in out.splitlines() if "dataset@v" in line)
    assert "latest" in first
    assert "latest" not in second


def test_show_has_what_readers_rely_on(two: Store, ask: Ask, repic_main: Main) -> None:
    summary = ask("show", "examples@v1")
    assert summary.keys() >= {"name", "version", "fingerprint", "content", "rows", "inputs"}
    manifest = two.manifest("examples@v1")
    assert (summary["name"], summary["version"], summary["rows"]) == ("examples", 1, manifest.rows)
    assert (summary["fingerprint"], summary["content"]) == (manifest.fingerprint, manifest.content)
    assert set(summary["inputs"]) == {
        "images@v1",
        "objects@v1",
        "groups@v1",
        "pairs@v1",
        "labels@v1",
    }
    dataset = ask("show", "dataset@latest")
    assert dataset["version"] == 2
    assert {"pairs@v2", "images@v1"} <= set(dataset["inputs"])
    assert len(ask("show", "images@v1", "--rows", "3")["head"]) == 3
    code, out, _ = repic_main("show", "images@latest", "--rows=1", f"--store={two.location}")
    assert code == 0
    assert "image_id" in out


def test_diff_of_tables_and_of_datasets(two: Store, ask: Ask, repic_main: Main) -> None:
    pairs = ask("diff", "pairs@v1", "pairs@v2")["pairs"]
    assert (pairs["from"], pairs["to"]) == ("pairs@v1", "pairs@v2")
    assert pairs["removed"] > 0
    assert pairs["removed"] - pairs["added"] == (
        two.manifest("pairs@v1").rows - two.manifest("pairs@v2").rows
    )
    assert len(pairs["rows"]["removed"]) == 5
    back = ask("diff", "pairs@v2", "pairs@v1", "--limit", "0")["pairs"]
    assert (back["added"], back["removed"]) == (pairs["removed"], pairs["added"])
    assert back["rows"]["added"] == []
    tables = ask("diff", "dataset@v1", "dataset@v2")
    assert tables.keys() >= {"images", "pairs", "examples"}
    assert tables["pairs"]["removed"] == pairs["removed"]
    for name in ("images", "objects", "embeddings", "probes"):
        assert [tables[name][kind] for kind in ("added", "removed", "changed")] == [0, 0, 0]
    code, out, _ = repic_main("diff", "dataset@v1", "dataset@v2", f"--store={two.location}")
    assert code == 0
    assert "pairs@v2" in out


def test_lineage_reaches_sources_and_models(two: Store, ask: Ask, repic_main: Main) -> None:
    graph = ask("lineage", "examples@latest")
    names = {node["name"] for node in graph["nodes"]}
    assert {"examples", "pairs", "embeddings", "images", "encoder", "coco"} <= names
    edges = {(e["output"], e["input"]) for e in graph["edges"]}
    assert ("examples@v2", "pairs@v2") in edges
    code, out, _ = repic_main("lineage", f"--store={two.location}")
    assert code == 0
    assert out.startswith("dataset@v2")


def test_verify_finds_a_changed_byte(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    code, out, _ = repic_main("verify", f"--store={store.location}")
    assert (code, out.startswith("Clean")) == (0, True)
    shard = store.manifest("pairs@v1").shards[0]
    path = Path(store.files.full(shard.path))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, out, _ = repic_main("verify", "--json", f"--store={store.location}")
    assert code == 1
    (problem,) = json.loads(out)
    assert problem["path"] == shard.path
    code, out, _ = repic_main("verify", "images@latest", f"--store={store.location}")
    assert code == 0
    path.unlink()
    code, out, _ = repic_main("verify", "dataset@latest", f"--store={store.location}")
    assert code == 1
    assert "it is gone" in out


def test_a_tag_stays_moves_and_goes(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    assert repic_main("tag", "dataset@latest", "production", at)[0] == 0
    build(built.album.settings("examples.seed=1"), store)
    _, out, _ = repic_main("show", "dataset@production", "--json", at)
    assert json.loads(out)["version"] == 1
    assert repic_main("tag", "dataset@v2", "production", at)[0] == 0
    _, out, _ = repic_main("show", "dataset@production", "--json", at)
    assert json.loads(out)["version"] == 2
    _, out, _ = repic_main("log", at)
    assert "latest, production" in out
    assert repic_main("tag", "dataset@v2", "production", "--delete", at)[0] == 0
    assert repic_main("show", "dataset@production", at)[0] == 2


@pytest.mark.slow
def test_gc_shows_before_it_deletes(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    build(built.album.settings("encoder.margin=0.1"), store)
    build(built.album.settings("encoder.margin=0.2"), store)
    repic_main("tag", "dataset@v1", "keep", at)
    (Path(store.location) / "tmp" / "left-by-a-kill").write_bytes(b"half")

    def files() -> set[str]:
        return set(store.files.find(""))

    before = files()
    code, out, err = repic_main("gc", at)
    assert code == 0
    assert "Would delete 1 files" in out
    assert "--apply" in err
    code, out, _ = repic_main("gc", "--keep=1", "--json", at)
    plan = json.loads(out)
    assert plan["deleted"] is False
    assert files() == before
    code, out, _ = repic_main("gc", "--keep=1", "--apply", "--json", at)
    done = json.loads(out)
    assert done["deleted"] is True
    assert done["files"] == plan["files"]
    assert files() - {"catalog.duckdb"} == before - {f["path"] for f in plan["files"]} - {
        "catalog.duckdb"
    }
    assert store.versions("dataset") == [1, 3]  # tagged, and latest
    assert repic_main("verify", at)[0] == 0
    code, out, _ = repic_main("gc", "--apply", at)
    assert "Deleted 0 files" in out
    _, out, _ = repic_main("sql", "select count(*) as n from images", "--format=csv", at)
    assert out.split() == ["n", str(PHOTOS)]


def test_gc_waits_for_a_running_build(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    orphan = Path(store.location) / "tmp" / "x"
    orphan.write_bytes(b"half")
    with store.lease():
        code, _, err = repic_main("gc", "--apply", at)
        assert code == 0
        assert "In use by build of process" in err
        assert "wait for it, or end it" in err
        assert "nothing is deleted" in err
        assert orphan.exists()
    assert repic_main("gc", "--apply", at)[0] == 0
    assert not orphan.exists()


def test_gc_names_a_build_of_another_machine_until_it_is_forgotten(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    lease = Lease.new("build").model_copy(update={"boot": "another", "host": "elsewhere"})
    store.files.replace(lease.path, lease.model_dump_json().encode())
    code, _, err = repic_main("gc", "--apply", at)
    assert code == 0
    assert "on elsewhere since" in err
    assert f"repic gc --forget-lease {lease.id}" in " ".join(err.split())
    code, out, _ = repic_main("gc", "--apply", f"--forget-lease={lease.id}", at)
    assert code == 0
    assert "Deleted" in out
    assert not store.files.find("leases")
    code, _, err = repic_main("gc", "--apply", "--forget-lease=build-1", at)
    assert code == 2
    assert "There is no lease build-1" in err


def test_gc_lists_what_killed_runs_left_and_gives_it_up_in_time(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    at = f"--store={store.location}"
    touched = datetime.now(UTC) - timedelta(days=3)
    job = UnfinishedJob(id="abc", what="GRPO of a model on examples@v1", touched=touched)
    jobs.keep(store.files, job)
    store.files.replace("unfinished/abc/trainer/weights", bytes(5000))
    code, out, _ = repic_main("gc", "--apply", at)
    assert code == 0
    assert "GRPO of a model on examples@v1" in out
    assert "kept: run the same command to resume" in out
    assert "Deleted 0 files" in out
    _, out, _ = repic_main("gc", "--forget", "2", "--json", at)
    plan = json.loads(out)
    [run] = plan["unfinished"]
    assert (run["id"], run["touched"], run["forgotten"]) == ("abc", touched.isoformat(), True)
    assert run["bytes"] == plan["bytes"] > 5000
    assert len(store.files.find("unfinished")) == 2
    code, out, _ = repic_main("gc", "--forget", "2", "--apply", at)
    assert "abandoned" in out
    assert store.files.find("unfinished") == {}
