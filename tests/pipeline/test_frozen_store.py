"""Stores of every earlier format can be read; the frozen stores are never rewritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.pipeline.repair import repair
from storage import integrity
from storage.lineage import lineage
from storage.store import Store
from tests.builds import Built, build

Main = Callable[..., tuple[int, str, str]]
FIXTURES = Path(__file__).parents[1] / "fixtures"
FROZEN = sorted(path.name for path in FIXTURES.glob("store-v*") if path.is_dir())
PROMISED = (
    *("images", "objects", "pairs", "examples", "quarantine", "artifacts", "lineage"),
    *("pair_photos", "sources"),
)
"""Views that readers rely on."""


@pytest.fixture(params=FROZEN)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, dict[str, dict]]:
    """A copy of a frozen store, and its content when it was made."""
    shutil.copytree(FIXTURES / request.param, tmp_path / "store")
    expected = json.loads((FIXTURES / f"{request.param}.json").read_text())
    return Store.open(tmp_path / "store"), expected


def test_the_first_format_is_frozen() -> None:
    assert "store-v1" in FROZEN
    for name in FROZEN:
        size = sum(f.stat().st_size for f in (FIXTURES / name).rglob("*") if f.is_file())
        assert size < 300_000


def test_every_version_has_the_rows_that_it_had(frozen: tuple[Store, dict[str, dict]]) -> None:
    store, expected = frozen
    every = {str(store.manifest(f"{n}@v{v}").ref) for n in store.names() for v in store.versions(n)}
    assert every == expected.keys()
    for ref, held in expected.items():
        manifest = store.manifest(ref)
        assert (manifest.rows, manifest.content) == (held["rows"], held["content"])
        if manifest.kind == "table":
            assert store.read(ref).num_rows == held["rows"]


def test_it_is_whole(frozen: tuple[Store, dict[str, dict]]) -> None:
    store, _ = frozen
    assert integrity.verify(store) == []
    assert store.resolve("dataset@first").version == 1
    assert store.resolve("dataset@latest").version == 2
    names = {node.name for node in lineage(store, "dataset@latest").nodes}
    assert {"examples", "pairs", "reviews", "encoder", "coco"} <= names


def test_it_is_extended_and_repaired(frozen: tuple[Store, dict[str, dict]], built: Built) -> None:
    store, _ = frozen
    before = {path: store.files.read(path) for path in store.files.find("manifests")}
    outcome = build(built.album.settings(), store)
    assert (outcome.published, outcome.dataset.version) == (True, 3)
    for name in ("images", "detections", "embeddings"):  # the store has reviews of other pairs
        assert outcome.tables[name].content == built.outcome.tables[name].content
    assert integrity.verify(store) == []
    assert {path: store.files.read(path) for path in before} == before
    assert store.resolve("dataset@first").version == 1
    lost = store.manifest("examples@v2").shards[0].path
    store.files.remove(lost)
    store.files.replace("manifests/pairs/v000001.json", b"")
    store.files.replace("refs/000005.json", b"{}")
    result = repair(store)
    assert store.resolve("dataset@latest").version == 3
    assert store.resolve("dataset@first").version == 1
    named = {left.problem.artifact: left for left in result.left}
    assert set(named) == {"examples@v2", "dataset@v1", "examples@v1"}, "its photos are gone"
    assert all("repic build" in left.remedy for left in result.left)


def test_two_versions_can_be_compared(frozen: tuple[Store, dict[str, dict]]) -> None:
    store, expected = frozen
    images = integrity.diff(store, "images@v1", "images@v2")
    assert images.added.num_rows == expected["images@v2"]["rows"] - expected["images@v1"]["rows"]
    assert images.removed.num_rows == 0
    assert integrity.diff(store, "pairs@v1", "pairs@v2").added.num_rows > 0


def test_the_commands_read_it(
    frozen: tuple[Store, dict[str, dict]], repic_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, expected = frozen
    at = f"--store={store.location}"
    code, out, err = repic_main("show", "examples@v1", "--json", at)
    assert code == 0, err
    shown = json.loads(out)
    assert shown["content"] == expected["examples@v1"]["content"]
    assert shown.keys() >= {"name", "version", "fingerprint", "content", "rows", "inputs"}
    assert repic_main("verify", at)[0] == 0
    code, out, err = repic_main("diff", "dataset@first", "dataset@latest", "--json", at)
    assert code == 0, err
    assert json.loads(out)["images"]["removed"] == 0
    code, out, _ = repic_main("log", at)
    assert "dataset@v2" in out
    assert repic_main("catalog", at)[0] == 0
    monkeypatch.chdir("/")
    for view in PROMISED:
        query = f"select count(*) as n from {view}"
        code, out, err = repic_main("sql", query, "--format=csv", at)
        assert code == 0, err
        assert int(out.split()[1]) > 0, view
    for schema in ("main", "v1"):  # the columns of both before and after they were renamed
        query = (
            f"select distinct distinctive_words = telling and distractor_words = elsewhere as same "
            f"from {schema}.examples"
        )
        code, out, err = repic_main("sql", query, "--format=csv", at)
        assert (code, out.split()) == (0, ["same", "True"]), err
    query = "select count(*) as n from v1.examples"
    _, out, _ = repic_main("sql", query, "--format=csv", at)
    assert int(out.split()[1]) == expected["examples@v1"]["rows"]
