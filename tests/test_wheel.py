"""Wheel and sdist, alone: installed without the clone, they build the sample dataset."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.installed import Installed, installed
from tools import dist_check

__all__ = ["installed"]

pytestmark = pytest.mark.slow


def check(environment: Installed, folder: Path) -> None:
    """What an installed distribution must have, and that it works."""
    packages = environment.packages
    assert all((packages / name / "py.typed").exists() for name in ("repic", "storage"))
    assert not (packages / "tools").exists()
    (metadata,) = packages.glob("repic-*.dist-info")
    assert {"LICENSE", "NOTICE"} <= {path.name for path in (metadata / "licenses").iterdir()}
    assert dist_check.smoke(environment.python, folder) > 0


def test_the_wheel_builds_the_sample_dataset(installed: Installed, tmp_path: Path) -> None:
    check(installed, tmp_path)


def test_the_sdist_builds_the_sample_dataset(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "smoke").mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    own = Installed(tmp_path)
    (own.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    dist_check.install(own.python, installed.sdist, "--no-deps")
    check(own, tmp_path / "smoke")
