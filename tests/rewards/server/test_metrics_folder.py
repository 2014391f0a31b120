"""The folder of a killed service is removed by the next one; no other folder is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from repic.rewards.server.metrics_folder import LOCK, PREFIX, metrics_folder

SERVICE = """
from repic.rewards.server.metrics_folder import metrics_folder
with metrics_folder() as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def start() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_the_folder_of_a_killed_service_is_removed(temporary: Path) -> None:
    killed, left = start()
    (left / "counter_1.db").write_bytes(b"x")
    with killed:
        killed.kill()
    assert left.is_dir()
    running, held = start()
    assert not left.exists()
    with metrics_folder() as own:
        assert held.is_dir()
        assert Path(own).parent == temporary
    with running:
        running.communicate("\n")
    assert list(temporary.iterdir()) == []


def test_folders_of_others_stay(temporary: Path) -> None:
    (temporary / f"{PREFIX}notes").mkdir()
    (temporary / f"{PREFIX}file").write_text("mine")
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    before = sorted(os.listdir(temporary))
    with metrics_folder():
        pass
    assert sorted(os.listdir(temporary)) == before
    assert (elsewhere / LOCK).exists()
