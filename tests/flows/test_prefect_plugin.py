from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.prefect_plugin import expand

PREFECT = str(Path(sys.executable).with_name("prefect"))
NAME = "build-datasets"
FULL = f"{NAME}/{NAME}"


@pytest.mark.parametrize(
    "line",
    [
        "deployment run {}",
        "deployment run {} --watch",
        "deployment run --watch {}",
        "deployment run -p images=/photos {} --watch",
        "deployment run --param images=a --param store=b {}",
        "deployment run --param=images=a {}",
        "deployment run --tag build-datasets {}",
        "--no-prompt deployment run {}",
        "--profile repic deployment run {}",
        "-p deployment deployment run --watch-interval 3 {}",
    ],
)
def test_a_bare_name_becomes_flow_and_deployment(line: str) -> None:
    argv = ["/a/bin/prefect", *line.format(NAME).split()]
    assert expand(argv) == ["/a/bin/prefect", *line.format(FULL).split()]


@pytest.mark.parametrize(
    "line",
    [
        "prefect",
        "prefect deployment run",
        "prefect deployment run --help",
        "prefect deployment run flow/deployment",
        "prefect deployment run --id 6f1c --watch",
        "prefect deployment run --id",
        "prefect deployment inspect build-datasets",
        "prefect deployment ls",
        "prefect flow-run ls",
        "prefect run deployment build-datasets",
        "python deployment run build-datasets",
        "pytest deployment run build-datasets",
    ],
)
def test_everything_else_is_left_alone(line: str) -> None:
    assert expand(line.split()) == line.split()


def test_no_arguments_at_all() -> None:
    assert expand([]) == []


def expanded(cwd: Path, env: dict[str, str]) -> str:
    """The name as the real `prefect` command gets it, without a server."""
    env = {**env, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    probe = (
        "import sys; sys.argv = sys.argv[1:]; import prefect; print(sys.argv[-1]);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, PREFECT, "deployment", "run", NAME],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    name, torch = done.stdout.split()
    assert torch == "False"
    return name


def test_it_is_on_in_the_clone(user: dict[str, str]) -> None:
    assert expanded(Path(__file__).parents[2], user) == FULL


def test_elsewhere_it_is_off_until_a_profile_says_so(tmp_path: Path, user: dict[str, str]) -> None:
    assert expanded(tmp_path, user) == NAME
    Path(user["PREFECT_HOME"]).mkdir(exist_ok=True)
    profiles = Path(user["PREFECT_HOME"]) / "profiles.toml"
    profiles.write_text('active = "repic"\n[profiles.repic]\nPREFECT_PLUGINS_ENABLED = "true"\n')
    assert expanded(tmp_path, user) == FULL


def test_the_command_is_there() -> None:
    assert shutil.which(PREFECT)
    assert os.access(PREFECT, os.X_OK)
