from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.common import is_transient, store_location
from flows.local.access import Access
from repic import config
from repic.errors import ConfigError, SourceError
from repic.pipeline.build import Build, ShardResult, StagePlan
from repic.pipeline.execution import execute
from repic.pipeline.scan import scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Stage
from storage.errors import StoreError
from storage.store import Store
from tests.builds import PHOTOS, Album, build
from tests.flows.up import artifact, client_of, home_of, install_database, processes_of
from tests.three_sources import Sources

TINY = ("source.count=24", "source.identities=8")


@pytest.mark.parametrize(
    "error", [ConfigError, SourceError, StoreError, RuntimeError, TypeError, KeyError]
)
def test_what_a_person_must_mend_is_not_tried_again(error: type[Exception]) -> None:
    from prefect.states import Failed

    assert not is_transient(None, None, Failed(data=error("x")))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError, MemoryError])
def test_what_may_pass_is_tried_again(error: type[Exception]) -> None:
    import torch
    from prefect.states import Failed

    for passing in (error("x"), torch.OutOfMemoryError("x")):
        assert is_transient(None, None, Failed(data=passing))  # type: ignore[arg-type]


def test_a_store_has_one_meaning_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPIC_STORE", raising=False)
    assert store_location(None) == str(tmp_path / "repic-store")
    assert store_location("a/b") == str(tmp_path / "a" / "b")
    assert store_location("s3://bucket/store") == "s3://bucket/store"
    monkeypatch.setenv("REPIC_STORE", "/data/store")
    assert store_location(None) == "/data/store"


def test_the_walk_gives_every_stage_to_whoever_computes(tmp_path: Path) -> None:
    """The plain build and the flow share `execute`: an error of a stage ends it."""
    settings = config.load("sample", TINY)
    build = Build(settings, Store.open(tmp_path, create=True), scan(settings))
    computed: list[str] = []

    def compute(stage: Stage, plan: StagePlan) -> list[ShardResult]:
        computed.append(stage.name)
        return []

    def publish(this: Build, stage: Stage) -> None:
        if stage is STAGES[0]:
            raise StoreError("full")

    with pytest.raises(StoreError, match="full"):
        execute(build, compute, publish)
    assert computed == [STAGES[0].name]
    assert build.processed == {STAGES[0].name: 24}


def flow(code: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True
    )


TINY_FLOW = f"""
from flows.build_datasets import build_datasets
outcome = build_datasets(overrides={list(TINY)})
print(outcome.dataset.ref, outcome.dataset.content, outcome.dataset.run.flow_run)
"""


@pytest.mark.slow
def test_the_flow_builds_what_the_plain_build_builds(
    tmp_path: Path, user: dict[str, str], api: Access
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {**user, **api.client, "REPIC_HOME": str(tmp_path)}
    done = flow(TINY_FLOW, elsewhere, env)
    assert done.returncode == 0, done.stderr
    ref, content, flow_run = done.stdout.split()
    assert ref == "dataset@v1"
    store = Store.open(tmp_path / "repic-store")
    assert (tmp_path / "repic-store" / "catalog.duckdb").exists()
    assert not list(elsewhere.iterdir())

    command = ["-m", "repic.cli", "build", "--profile", "sample", "--store", str(tmp_path / "s")]
    command += [word for override in TINY for word in ("--set", override)]
    subprocess.run([sys.executable, *command], env=env, check=True, capture_output=True)
    assert Store.open(tmp_path / "s").manifest("dataset@latest").content == content
    assert store.manifest("dataset@latest").run.flow_run == flow_run

    with client_of(api) as client:
        run = client.read_flow_run(flow_run)
        assert (run.name, run.state_name) == ("sample", "Completed")
        expected = {"probes 1/2", "probes 2/2", "detections 2/2"}  # of 24 photos, 16 and 8
        expected |= {f"publish {stage.name}" for stage in STAGES}
        assert expected <= _task_names(client, flow_run, expected)
    assert "dataset@v1" in artifact(api, "build-datasets")

    again = flow(TINY_FLOW, elsewhere, env)
    assert again.stdout.split()[:2] == [ref, content], again.stderr


@pytest.mark.slow
def test_the_flow_builds_several_sources(
    tmp_path: Path, user: dict[str, str], api: Access, album: Album
) -> None:
    three = Sources.make(tmp_path / "three", album)
    plain = build(three.settings(), Store.open(tmp_path / "plain", create=True))
    code = f"""
from flows.build_datasets import build_datasets
for _ in range(2):
    outcome = build_datasets(sources={three.texts}, overrides={list(three.overrides)})
    print(outcome.published, outcome.dataset.content, sum(outcome.processed.values()))
"""
    env = {**user, **api.client, "REPIC_STORE": str(tmp_path / "store")}
    done = flow(code, tmp_path, env)
    assert done.returncode == 0, done.stderr
    oversight = flow(TINY_FLOW, tmp_path, env)
    assert "nothing says what to build" in oversight.stderr
    first, second = (line.split() for line in done.stdout.splitlines())
    assert first == ["True", plain.dataset.content, str(sum(plain.processed.values()))]
    assert second == ["False", plain.dataset.content, "0"]


def _task_names(client: Any, flow_run: str, expected: set[str]) -> set[str]:
    """Names of the task runs; they reach the server as events, shortly after the run ends."""
    from uuid import UUID

    from prefect.client.schemas.filters import TaskRunFilter

    of_run = TaskRunFilter.model_validate({"flow_run_id": {"any_": [UUID(flow_run)]}})
    names: set[str] = set()
    deadline = time.monotonic() + 240
    while not expected <= names and time.monotonic() < deadline:
        names = {run.name for run in client.read_task_runs(task_run_filter=of_run)}
        time.sleep(0.1)
    return names


RETRIED = """
from flows import build_datasets as module
from repic.pipeline import execution
from storage.errors import NotFoundError
calls = []
real = execution.run_shard
def flaky(shard):
    calls.append((shard.stage, shard.inputs["key"][0].as_py()))
    if len(calls) == 1:
        raise {error}("once")
    return real(shard)
execution.run_shard = flaky
module.compute = module.compute.with_options(retry_delay_seconds=0.1)
outcome = module.build_datasets(overrides={overrides})
print(len(calls) - len(set(calls)))
"""


@pytest.mark.slow
def test_a_shard_is_tried_again_only_if_that_may_help(
    tmp_path: Path, user: dict[str, str], api: Access
) -> None:
    env = {**user, **api.client, "REPIC_STORE": str(tmp_path / "store")}
    for permanent in ("NotFoundError", "RuntimeError"):
        done = flow(RETRIED.format(error=permanent, overrides=list(TINY)), tmp_path, env)
        assert done.returncode != 0
        assert f"{permanent}: once" in done.stderr
        assert "retry" not in done.stderr.lower()
    done = flow(RETRIED.format(error="ConnectionError", overrides=list(TINY)), tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 1  # one shard was run twice


TEMPORARY = f"""
from flows.run import build
outcome = build("store", overrides={list(TINY)})
print(outcome.dataset.ref)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGKILL])
def test_the_temporary_server_ends_with_the_build(
    tmp_path: Path, user: dict[str, str], database: Path, number: signal.Signals | None
) -> None:
    # A new HOME, so that no profile of this user names a server.
    env = {**user, "HOME": str(tmp_path / "home")}
    del env["PREFECT_HOME"]
    if number is not None:  # without a signal, the test includes the migrations of a new server
        install_database(database, home_of(env, tmp_path / "store"))
    process = subprocess.Popen(
        [sys.executable, "-c", TEMPORARY],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    if number is not None:
        store = tmp_path / "store" / "parts"
        deadline = time.monotonic() + 240
        while not store.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert processes_of(tmp_path)
        process.send_signal(number)
    printed, _ = process.communicate(timeout=300)
    if number is None:
        assert printed.strip() == "dataset@v1"
    deadline = time.monotonic() + 120
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(tmp_path)
    assert not (tmp_path / "home" / ".prefect").exists()


@pytest.mark.slow
def test_a_flow_that_lost_most_photos_fails_unless_it_may_shrink(
    tmp_path: Path, user: dict[str, str], api: Access, album: Album
) -> None:
    mine = album.copy(tmp_path / "album")
    store = Store.open(tmp_path / "store", create=True)
    build(mine.settings(), store)
    few = mine.without(PHOTOS - 4)
    source = [f"source.{key}={value}" for key, value in few.source.items()]
    changes = {"profile": "photos", "overrides": [*source, *few.overrides]}
    env = {**user, **api.client}
    code = f"""
from flows.build_datasets import build_datasets
from flows.refresh import refresh
changes = {changes}
for flow in (refresh, build_datasets):
    try:
        flow(**changes, store={store.location!r})
    except ValueError as error:
        print(flow.name, type(error).__name__)
print(build_datasets(**changes, allow_shrink=True, store={store.location!r}).dataset.ref)
"""
    done = flow(code, tmp_path, env)
    assert done.stdout.splitlines() == [
        "refresh ShrinkError",
        "build-datasets ShrinkError",
        "dataset@v2",
    ], done.stderr


@pytest.mark.slow
def test_an_empty_parameter_builds_nothing(
    tmp_path: Path, user: dict[str, str], api: Access
) -> None:
    code = f"""
from flows.build_datasets import build_datasets
for empty in ({{"images": ""}}, {{"profile": " "}}, {{"profile": "sample", "store": ""}}):
    try:
        build_datasets(**{{"store": {str(tmp_path / "store")!r}, **empty}})
    except ValueError as error:
        print(error)
"""
    done = flow(code, tmp_path, {**user, **api.client, "REPIC_STORE": str(tmp_path / "store")})
    assert done.stdout.splitlines() == [
        f"the parameter {name} is empty: give a value, or leave it out"
        for name in ("images", "profile", "store")
    ], done.stderr
    assert not (tmp_path / "store").exists()
