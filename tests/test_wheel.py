"""Wheel and sdist, alone: installed without the clone, they build the sample dataset."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tools import dist_check

pytestmark = pytest.mark.slow


def test_wheel_and_sdist_build_the_sample_dataset(tmp_path: Path) -> None:
    distributions = dist_check.build(tmp_path)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    # Dependencies come from this environment; a path file does not follow the editable install.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for distribution in distributions:
        dist_check.install(python, distribution, "--no-deps")
        assert all((packages / name / "py.typed").exists() for name in ("repic", "storage"))
        assert not (packages / "tools").exists()
        (metadata,) = packages.glob("repic-*.dist-info")
        assert {"LICENSE", "NOTICE"} <= {path.name for path in (metadata / "licenses").iterdir()}
        folder = tmp_path / distribution.suffix
        folder.mkdir()
        assert dist_check.smoke(python, folder) > 0
