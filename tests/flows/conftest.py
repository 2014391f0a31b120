"""A Prefect of its own for each test: nothing touches the user's home or a default port."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.local import server
from tests.flows.operating import REPIC, Up


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """Environment of a user whose Prefect is new and whose shell is set to nothing."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "REPIC_"))
    }
    return {**own, "PREFECT_HOME": str(tmp_path / "user"), "DO_NOT_TRACK": "1", "COLUMNS": "200"}


@pytest.fixture
def up(tmp_path: Path, user: dict[str, str]) -> Iterator[Up]:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    port = server.free_port()
    with (root / "out").open("wb") as out:
        process = subprocess.Popen(
            [*REPIC, "up", "--port", str(port), "--store", "store"],
            cwd=root,
            env=user,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    started = Up(process, root, elsewhere, user, port)
    try:
        started.wait(lambda: "Ctrl-C" in started.printed or process.poll() is not None, 300)
        assert process.poll() is None, started.printed
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        finally:
            process.kill()
