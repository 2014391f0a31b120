"""The wheel, alone: installed without the clone, it builds the sample dataset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


UV = (sys.executable, "-m", "uv")
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(
        command, cwd=cwd, env=CLEAN, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def test_a_wheel_builds_the_sample_dataset(tmp_path: Path) -> None:
    run(*UV, "build", "--wheel", "--quiet", "--out-dir", tmp_path, ROOT, cwd=ROOT)
    (wheel,) = tmp_path.glob("repic-*.whl")
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run(*UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Dependencies come from this environment; a path file does not follow the editable install.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    imports = "import importlib.util as u, repic; print(u.find_spec('tools'), repic.__file__)"
    tools, _, where = run(python, "-c", imports, cwd=tmp_path).partition(" ")
    assert tools == "None"
    assert all((packages / name / "py.typed").exists() for name in ("repic", "storage"))
    assert where.startswith(str(packages))

    small = ["--set", "source.count=12", "--set", "source.identities=4", "--store", "store"]
    built = run(
        environment / "bin" / "repic",
        "build",
        "--profile",
        "sample",
        *small,
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(built)["rows"]["examples"] > 0
