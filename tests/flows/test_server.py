from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.local import runs, server
from flows.local.access import HOST, Access, api_url, is_free
from tests.ports import free_port


def test_nothing_of_the_users_prefect_reaches_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("PREFECT_PROFILE", "work")
    monkeypatch.setenv("HF_HOME", "/models")
    env = server.environment(tmp_path, Access(1))
    assert env["PREFECT_HOME"] == str(tmp_path)
    assert env["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert env["HF_HOME"] == "/models"
    assert not {"PREFECT_API_KEY", "PREFECT_PROFILE"} & set(env)


def test_waiting_threads_do_not_spin_unless_the_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert server.environment(tmp_path, Access(1))["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert server.environment(tmp_path, Access(1))["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_port_that_is_taken() -> None:
    port = free_port()
    assert is_free(port)
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        assert not is_free(port)
        other.close()
    assert is_free(port)


def test_a_stray_file_beside_those_of_runs_is_passed_over(tmp_path: Path) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    stray = tmp_path / "running" / ".DS_Store"
    stray.parent.mkdir()
    stray.write_bytes(b"\0")
    with SyncPrefectClient(api_url(free_port())) as client:
        runs.crash_ended(client, tmp_path)
    assert stray.exists()


def test_nobody_answers() -> None:
    url = api_url(free_port())
    assert not server.is_healthy(url)


def run_python(code: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=cwd, capture_output=True, text=True
    )


RUN = "import sys; from flows.run import run_deployment as r; sys.exit(r('build-datasets', []))"


def test_run_without_a_server_names_the_remedy(user: dict[str, str], tmp_path: Path) -> None:
    done = run_python(RUN, user, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "repic: no Prefect server answers: start one with `repic up`\n"
    url = api_url(free_port())
    done = run_python(RUN, {**user, "PREFECT_API_URL": url}, tmp_path)
    assert (done.returncode, url in done.stderr) == (2, True)


def test_a_build_on_a_server_that_is_gone_names_the_remedy(
    user: dict[str, str], tmp_path: Path
) -> None:
    url = api_url(free_port())
    code = "from flows.run import build; build('store', profile='sample')"
    done = run_python(code, {**user, "PREFECT_API_URL": url}, tmp_path)
    assert "ServerError: No Prefect server answers at" in done.stderr
    assert "repic up" in done.stderr


def test_up_on_a_port_of_another_program(user: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        code = f"import sys; from flows.local.serving import up; sys.exit(up('store', {port}))"
        done = run_python(code, user, tmp_path)
    assert done.returncode == 2
    assert f"Port {port} cannot be used (Address already in use)" in done.stdout
    assert "--port" in done.stdout
