"""Wheel and sdist, alone: installed without the clone, they build the sample dataset."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.flows import cluster_page
from tests.installed import PATIENCE, Installed, installed
from tests.test_extras import EXTRAS, names
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


def test_extras_are_installed_as_their_pages_say(installed: Installed) -> None:
    """What they bring is in the environment of the tests; a package less is an error."""
    of_cluster, of_s3 = (
        cluster_page.line("pip install", {}, page).partition("install ")[2]
        for page in ("cluster.md", "s3.md")
    )
    command = f"pip install {of_s3} {of_cluster.replace('# or', '')}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=installed.variables({**os.environ, "PIP_NO_INDEX": "1"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "does not provide" not in done.stderr
    said = set(re.findall(r"already satisfied: ([\w.-]+)", done.stdout))
    for extra in ("dask", "ray", "s3"):
        assert f"'repic[{extra}]'" in command
        assert names(EXTRAS[extra]) <= said
