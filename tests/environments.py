"""A virtual environment for each package that we compare with, with the versions that it pins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MINUTES = 10


@dataclass(frozen=True)
class Package:
    """A package that we compare with.

    Attributes:
        wants: Requirements that are installed with their dependencies.
        alone: Requirements that are installed without, since a dependency does not build here.
    """

    name: str
    wants: tuple[str, ...]
    alone: tuple[str, ...] = ()


def python_of(package: Package, folder: Path) -> Path:
    """The interpreter of a new environment with the package; skips if it does not install."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip(f"no uv beside {sys.executable} to install {package.name}")
    environment = folder / package.name
    python = environment / "bin" / "python"
    _install(package, [str(uv), "venv", "--quiet", "--python", sys.executable, str(environment)])
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    _install(package, [*install, *package.wants])
    if package.alone:
        _install(package, [*install, "--no-deps", *package.alone])
    return python


def _install(package: Package, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{package.name} did not install within {MINUTES} minutes")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{package.name} does not install here: {last}")


def run_script(python: Path, script: Path, given: Any, **environment: str) -> Any:
    """Run a script with JSON on its input; returns the JSON of its last line."""
    done = subprocess.run(
        [str(python), str(script)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=script.anchor,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
