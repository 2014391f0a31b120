"""Environments of other trainers, as their packages pin them: a virtual environment for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = Path(__file__).parent / "inside"
MINUTES = 10


@dataclass(frozen=True)
class Package:
    """A trainer of somebody else.

    Attributes:
        wants: What is installed with all that it depends on.
        alone: What is installed without, since it does not build here.
    """

    name: str
    wants: tuple[str, ...]
    alone: tuple[str, ...] = ()


MS_SWIFT = Package("ms_swift", ("ms-swift==4.6.0",))
VERL = Package("verl", ("verl==0.9.1",))
# It depends on flash-attn, which needs a CUDA compiler; its way of asking for rewards does not.
OPENRLHF = Package(
    "openrlhf",
    ("torch", "transformers", "aiohttp", "pylatexenc", "sympy"),
    alone=("openrlhf==0.11.2",),
)


def python_of(package: Package, folder: Path) -> Path:
    """The interpreter of a new environment with the package; skips where it does not install."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip(f"no uv beside {sys.executable} to install {package.name}")
    place = folder / package.name
    python = place / "bin" / "python"
    _installed(package, [str(uv), "venv", "--quiet", "--python", sys.executable, str(place)])
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    _installed(package, [*install, *package.wants])
    if package.alone:
        _installed(package, [*install, "--no-deps", *package.alone])
    return python


def _installed(package: Package, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{package.name} did not install within {MINUTES} minutes")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{package.name} does not install here: {last}")


def told(python: Path, script: str, given: Any, **environment: str) -> Any:
    """What a script prints as its last line, as JSON, from what it reads as JSON."""
    done = subprocess.run(
        [str(python), str(SCRIPTS / f"ask_{script}.py")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=SCRIPTS.anchor,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
