"""`repic up` end to end: server, worker, the user's commands, and how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from flows.local import server
from storage.integrity import verify
from storage.store import Store
from tests.flows.up import PREFECT, REPIC, Up, processes_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

pytestmark = pytest.mark.slow

TINY = 'overrides=["source.count=24", "source.identities=8"]'


def test_the_users_own_commands_from_any_folder(up: Up) -> None:
    assert up.profile == "repic"

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
    assert up.process.wait(60) == 0
    up.wait_until_no_process_is_left()
    assert up.profile == "ephemeral"
    assert up.printed.endswith("Stopped.\n")


def test_ctrl_c_ends_a_build_too_and_the_next_one_goes_on(up: Up) -> None:
    done = up.shell(*REPIC, "run", "build-datasets", "--param", "profile=sample")
    assert done.returncode == 0, done.stdout + done.stderr
    up.wait(lambda: (up.root / "store" / "parts").exists(), 120)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    up.wait_until_no_process_is_left()


def test_a_kill_leaves_no_orphan(up: Up) -> None:
    up.shell(*REPIC, "run", "build-datasets", "--param", "profile=sample")
    up.wait(lambda: (up.root / "store" / "parts").exists(), 120)
    up.process.kill()
    up.process.wait()
    up.wait_until_no_process_is_left()
    assert up.profile == "repic", "the next `repic up` restores it"


def test_if_the_server_dies_everything_ends_and_says_why(up: Up) -> None:
    for pid, command in processes_of(up.root).items():
        if "server start" in command:
            os.kill(pid, signal.SIGKILL)
    assert up.process.wait(60) == 1
    up.wait_until_no_process_is_left()
    assert "The server ended with code -9" in up.printed
    assert up.profile == "ephemeral"


def test_a_schedule_fires_and_the_second_run_publishes_nothing(shared_up: Up) -> None:
    from datetime import timedelta

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.schedules import IntervalSchedule

    up = shared_up
    parameters = {"overrides": ["source.count=24", "source.identities=8"], "store": "scheduled"}
    every = IntervalSchedule(interval=timedelta(seconds=15))
    store = Store.open(up.root / "scheduled", create=True)
    with SyncPrefectClient(server.api_url(up.port)) as client:
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


def test_what_is_deployed_and_a_second_up(shared_up: Up) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    up = shared_up
    with SyncPrefectClient(server.api_url(up.port)) as client:
        deployment = client.read_deployment_by_name("build-datasets/build-datasets")
        assert deployment.work_pool_name == "repic"
        assert deployment.pull_steps in (None, [])
        assert deployment.entrypoint == "flows.build_datasets:build_datasets"
        (schedule,) = deployment.schedules
        assert (schedule.slug, schedule.active) == ("nightly", False)
        client.update_deployment_schedule(deployment.id, schedule.id, active=True)
        try:
            start_and_stop_a_second(up)
            (schedule,) = client.read_deployment(deployment.id).schedules
            assert schedule.active, "a schedule that the user switched on stays on"
        finally:
            client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    assert up.process.poll() is None
    assert up.profile == "repic"


def start_and_stop_a_second(up: Up) -> None:
    """Another `repic up` on the same port and store."""
    command = [*REPIC, "up", "--port", str(up.port), "--store", str(up.root / "store")]
    output = up.root / "out2"
    with output.open("wb") as out:
        second = subprocess.Popen(command, cwd=up.elsewhere, env=up.user, stdout=out)
    up.wait(lambda: "Ctrl-C" in output.read_text() or second.poll() is not None, 200)
    assert "Using the server of this store" in output.read_text()
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
