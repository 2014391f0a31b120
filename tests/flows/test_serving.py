"""`repic up` end to end: server, worker, the user's commands, and how it stops."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.local import profile, server, serving
from repic.pipeline import failures
from storage.integrity import verify
from storage.store import Store
from tests.flows.up import PREFECT, REPIC, Up, client_of, processes_of, run_states, running_up
from tests.ports import free_port

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

pytestmark = pytest.mark.slow

TINY = 'overrides=["source.count=24", "source.identities=8"]'


def test_the_users_own_commands_from_any_folder(up: Up) -> None:
    assert up.profile == profile.name_of(up.port)
    assert stat.S_IMODE(up.profiles.stat().st_mode) == 0o600
    secret = up.access.auth

    done = up.shell(PREFECT, "deployment", "run", "build-datasets", "-p", TINY, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout
    store = Store.open(up.root / "store")
    built = store.manifest("dataset@latest")
    assert (built.version, built.run.flow_run is not None) == (1, True)

    slash = "build-datasets/build-datasets"
    done = up.shell(PREFECT, "deployment", "run", slash, "-p", TINY, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.manifest("dataset@latest").version == 1

    done = up.shell(*REPIC, "run", "build-datasets", "--param", TINY, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout

    done = up.shell(*REPIC, "run", "build-datasets", "-p", "images=nowhere", "--watch")
    assert done.returncode == 1
    assert "SourceError" in done.stdout

    done = up.shell(*REPIC, "run", "no-such-deployment")
    assert done.returncode == 2
    assert "choose one of: build-datasets" in done.stderr
    assert not list(up.elsewhere.iterdir())

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(240) == 0
    up.wait_until_no_process_is_left()
    assert up.profile == "ephemeral"
    assert up.printed.endswith("Stopped.\n")
    assert_nowhere(secret, up.root, up.elsewhere, up.profiles.parent)


def assert_nowhere(secret: str, *folders: Path) -> None:
    """No log, database or other file has the string."""
    password = secret.partition(":")[2].encode()
    encoded = base64.b64encode(secret.encode())
    for file in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert password not in content, file
        assert encoded not in content, file


def test_ctrl_c_ends_a_build_too_and_the_next_one_goes_on(up: Up) -> None:
    done = up.shell(*REPIC, "run", "build-datasets", "--param", "profile=sample")
    assert done.returncode == 0, done.stdout + done.stderr
    up.wait(lambda: (up.root / "store" / "parts").exists(), 400)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(240) == 0
    up.wait_until_no_process_is_left()
    assert run_states(up.home) == ["CRASHED"]


def test_a_kill_leaves_no_orphan(up: Up) -> None:
    up.shell(*REPIC, "run", "build-datasets", "--param", "profile=sample")
    up.wait(lambda: (up.root / "store" / "parts").exists(), 400)
    up.process.kill()
    up.process.wait()
    up.wait_until_no_process_is_left()
    assert up.profile == profile.name_of(up.port), "the next `repic up` restores it"
    assert run_states(up.home) == ["RUNNING"], "nobody could say that it ended"
    with running_up(up.folder, user=up.user) as following:
        assert run_states(following.home) == ["CRASHED"]
    assert up.profile == "ephemeral"


def test_if_the_server_dies_everything_ends_and_says_why(up: Up) -> None:
    for pid, command in processes_of(up.home).items():
        if "guarded_server" in command:
            os.kill(pid, signal.SIGKILL)
    assert up.process.wait(240) == 2
    up.wait_until_no_process_is_left()
    assert "repic: The server ended with code -9" in up.printed
    assert "Traceback" not in up.printed
    assert up.profile == "ephemeral"


def test_a_schedule_fires_and_the_second_run_publishes_nothing(shared_up: Up) -> None:
    from datetime import timedelta

    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.schedules import IntervalSchedule

    up = shared_up
    parameters = {"overrides": ["source.count=24", "source.identities=8"], "store": "scheduled"}
    every = IntervalSchedule(interval=timedelta(seconds=15))
    store = Store.open(up.root / "scheduled", create=True)
    with client_of(up.access) as client:
        deployment = client.read_deployment_by_name("build-datasets/build-datasets")

        def set_parameters(parameters: dict[str, Any]) -> None:
            """What `--param` sets once, an operator sets for every night."""
            client._client.patch(
                f"/deployments/{deployment.id}", json={"parameters": parameters}
            ).raise_for_status()

        def finished() -> list[FlowRun]:
            runs = client.read_flow_runs(deployment_filter=this_deployment)
            final = [r for r in runs if r.auto_scheduled and r.state and r.state.is_final()]
            return sorted(final, key=lambda run: run.end_time)

        this_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        set_parameters(parameters)
        (schedule,) = client.create_deployment_schedules(deployment.id, [(every, True)])
        try:
            up.wait(lambda: len(finished()) >= 2, 400)
            first, second = finished()[:2]
        finally:
            client.delete_deployment_schedule(deployment.id, schedule.id)
            set_parameters({})
    names = [run.state.name for run in (first, second)]
    assert names == ["Completed", "Completed"], up.printed
    assert first.expected_start_time != second.expected_start_time
    built = store.manifest("dataset@latest")
    assert (built.version, store.versions("dataset")) == (1, [1])
    assert built.run.flow_run in {str(run.id) for run in (first, second)}
    assert len(store.history()) == 1, "the second run did not even move `latest`"
    assert verify(store) == []


def test_a_schedule_with_parameters_stays_when_deployed_again(shared_up: Up) -> None:
    up = shared_up
    first = ("--param", "images=other photos", "--param", "allow_shrink=true")
    second = ("--param", "images=some photos", "--param", "identity=null", "--cron", "30 2 * * 1")

    def ours() -> list[dict[str, Any]]:
        every = json.loads(up.shell(*REPIC, "schedule", "--json").stdout)
        return [each for each in every if each["parameters"]]

    for options in (first, (*second, "--timezone", "Asia/Tokyo")):  # the second changes the first
        done = up.shell(*REPIC, "schedule", "build-datasets", *options)
        assert done.returncode == 0, done.stderr
    expected = {
        "deployment": "build-datasets",
        "cron": "30 2 * * 1",
        "timezone": "Asia/Tokyo",
        "state": "on",
        "parameters": {"images": "some photos", "identity": None},
    }
    assert ours() == [expected]
    with client_of(up.access) as client:
        serving._deploy(client, server.environment(up.home, up.access), up.elsewhere)
    assert ours() == [expected]
    for words, sentence in (
        (("no-such",), "choose one of: build-datasets"),
        (("build-datasets", "--param", "image=x"), "there is no parameter image"),
        (("build-datasets", "--cron", "at night"), "is no time"),
        (("build-datasets", "--timezone", "Mars/Base"), "is no time"),
    ):
        done = up.shell(*REPIC, "schedule", *words)
        assert done.returncode == 2
        assert sentence in " ".join(done.stderr.split())
    assert ours() == [expected], "a wrong schedule leaves the old one"
    assert up.shell(*REPIC, "schedule", "build-datasets", "--off").returncode == 0
    assert ours() == []


def test_what_is_deployed_and_a_schedule_stays_on(shared_up: Up) -> None:

    up = shared_up
    with client_of(up.access) as client:
        deployment = client.read_deployment_by_name("build-datasets/build-datasets")
        assert deployment.work_pool_name == "repic"
        assert deployment.pull_steps in (None, [])
        assert deployment.entrypoint == "flows.build_datasets:build_datasets"
        (schedule,) = deployment.schedules
        assert (schedule.slug, schedule.active) == ("nightly", False)
        client.update_deployment_schedule(deployment.id, schedule.id, active=True)
        try:
            env = server.environment(up.home, up.access)
            serving._deploy(client, env, up.elsewhere)
            (schedule,) = client.read_deployment(deployment.id).schedules
            assert schedule.active, "a schedule that the user switched on stays on"
        finally:
            client.update_deployment_schedule(deployment.id, schedule.id, active=False)


def test_a_run_that_does_nothing_for_too_long_ends_with_its_reason(shared_up: Up) -> None:
    up = shared_up
    store = Store.open(up.root / "stalled", create=True)
    build = (*REPIC, "run", "build-datasets", "--param", "store=stalled", "--watch")
    small = ("--param", TINY)
    done = up.shell(*build, *small, "--param", "stall_hours=0.0001")  # as little as loading takes
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nothing has happened for 0.0001 hours, since " in done.stdout
    (failure,) = failures.find(store)
    assert (failure.work, failure.error) == ("build", "StalledError")
    assert "look whether the source" in failure.message
    with client_of(up.access) as client:
        (run,) = [r for r in client.read_flow_runs() if str(r.id) == failure.flow_run]
    assert run.state
    assert "nothing has happened" in str(run.state.message)
    worker_log = (up.home / "worker.log").read_text()
    assert "Where it hangs:" in worker_log
    done = up.shell(*build, *small, "--param", "stall_hours=null")
    assert done.returncode == 0, done.stdout + done.stderr
    assert failures.find(store) == []
    assert store.versions("dataset") == [1]


def test_a_second_up_on_this_store_is_refused(shared_up: Up) -> None:
    before = shared_up.profiles.read_text()
    second = shared_up.shell(
        *(*REPIC, "up", "--port", str(free_port())),
        *("--store", str(shared_up.root / "store")),
    )
    assert second.returncode == 2
    assert second.stdout == (
        "repic: Another `repic up` already serves this store: process "
        f"{shared_up.process.pid} on {socket.gethostname()} at {shared_up.access.url}. Use its "
        "server, or end it with Ctrl-C first.\n"
    )
    assert shared_up.profiles.read_text() == before


def test_the_last_of_two_restores_the_profile(up: Up, tmp_path: Path, database: Path) -> None:
    first = up.profile
    (tmp_path / "other").mkdir()
    page = free_port()
    options = ("--studio", "--studio-port", str(page), "--allow-review")
    with running_up(tmp_path / "other", database, up.user, options) as second:
        told = httpx.get(f"http://127.0.0.1:{page}/", trust_env=False).text
        assert "Nothing is published in this store yet" in told
        assert "Decisions are written to" in told
        assert second.profile == profile.name_of(second.port) != first
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(240) == 0
        assert second.profile == profile.name_of(second.port)
        done = second.shell(*REPIC, "run", "build-datasets", "--param", TINY, "--watch")
        assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{page}/healthz", trust_env=False)
    assert up.profile == "ephemeral"
