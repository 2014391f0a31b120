"""The wheel, alone: installed without the clone, it builds the sample dataset."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_a_wheel_builds_the_sample_dataset(tmp_path: Path) -> None:
    run("uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path, ROOT, cwd=ROOT)
    (wheel,) = tmp_path.glob("repic-*.whl")
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run("uv", "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Dependencies come from this environment; a path file does not follow the editable install.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    code = "import repic, tools" if (ROOT / "tools").exists() else "import tools"
    clone = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'tools'" in clone.stderr
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
    where = run(python, "-c", "import repic; print(repic.__file__)", cwd=tmp_path)
    assert where.startswith(str(packages))
