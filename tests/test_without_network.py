"""Nothing leaves the machine that nobody asked for: a build, a training run and an evaluation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import PROGRAM, Album

HOOK = '''
import os, socket, sys

def watch(event, arguments):
    """Note each attempt to reach another machine; a file of this machine (AF_UNIX) is none."""
    if event in ("socket.connect", "socket.sendto"):
        if isinstance(arguments[1], (str, bytes)):
            return
    elif event != "socket.getaddrinfo":
        return
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(event, arguments, file=file)

sys.addaudithook(watch)
'''
"""A `sitecustomize`, which every Python that a command starts runs as well."""

ONLINE = {
    name: value
    for name, value in os.environ.items()
    if name not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK")
}
"""The environment of a user who has set nothing."""


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python notes attempts to reach the network in `ATTEMPTS`."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    (tmp_path / "attempts").touch()
    path = os.pathsep.join([str(tmp_path / "hook"), ONLINE.get("PYTHONPATH", "")])
    return {**ONLINE, "PYTHONPATH": path, "ATTEMPTS": str(tmp_path / "attempts")}


def attempts(environment: dict[str, str]) -> list[str]:
    return Path(environment["ATTEMPTS"]).read_text().splitlines()


def test_attempts_are_noticed(watched: dict[str, str]) -> None:
    code = (
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    )
    subprocess.run([sys.executable, "-c", code], env=watched, timeout=60, capture_output=True)
    assert len(attempts(watched)) == 1
    assert "192.0.2.1" in attempts(watched)[0]


@pytest.mark.slow
def test_a_build_and_its_report_reach_for_nothing(
    album: Album, watched: dict[str, str], tmp_path: Path
) -> None:
    store = f"--store={tmp_path / 'store'}"
    page = str(tmp_path / "report.html")
    for command in (album.arguments, ["report", "dataset@latest", "--out", page], ["doctor"]):
        done = subprocess.run(
            [*PROGRAM, *command, store], env=watched, timeout=600, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert attempts(watched) == []


@pytest.fixture(scope="module")
def alone() -> list[str]:
    """A command that runs another one without any network."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs the program unshare (util-linux)")
    command = [unshare, "--user", "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        command = [unshare, "--net"]
        if subprocess.run([*command, "true"], capture_output=True).returncode:
            pytest.skip("needs the right to make a network namespace")
    return command


@pytest.mark.slow
def test_all_works_without_a_network(alone: list[str], tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 9), 5)"
    probe = subprocess.run([*alone, sys.executable, "-c", code], capture_output=True, text=True)
    assert "Network is unreachable" in probe.stderr

    def repic(*arguments: str) -> str:
        done = subprocess.run(
            [*alone, *PROGRAM, *arguments, f"--store={tmp_path / 'store'}"],
            env={**ONLINE, "REPIC_CACHE": str(tmp_path / "cache")},
            timeout=1500,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    small = ("--set=source.count=40", "--set=source.identities=10")
    built = json.loads(repic("build", "--profile=sample", *small, "--json"))
    assert built["rows"]["examples"] > 0
    short = (
        *("--set=train.measure.per_objective=4", "--set=train.measure.max_new_tokens=16"),
        *("--set=trainer.max_steps=2", "--set=trainer.save_steps=2", "--set=trainer.use_cpu=true"),
        *("--set=train.prompts_per_step=2", "--set=trainer.num_generations=4"),
        *("--set=trainer.per_device_train_batch_size=4", "--set=grpo.max_completion_length=16"),
    )
    repic("train", "--profile=sample", *short)
    few = (
        *("--photos=8", "--set=evaluate.protocols=[wrong]"),
        *("--set=evaluate.max_new_tokens=16", "--set=evaluate.batch_size=8"),
    )
    repic("evaluate", "run", "--model=checkpoint@latest", "--suite=sample", *few)
    query = "select count(*) as n from metrics"
    assert json.loads(repic("sql", query, "--format=json"))[0]["n"] > 0
