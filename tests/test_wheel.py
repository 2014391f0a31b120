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


@pytest.mark.parametrize(
    ("extra", "page", "ours"),
    [
        ("dask", "cluster.md", {}),
        ("ray", "cluster.md", {"[dask]": "[ray]"}),
        ("s3", "s3.md", {}),
    ],
)
def test_an_extra_is_installed_as_its_page_says(
    extra: str, page: str, ours: dict[str, str], installed: Installed
) -> None:
    """What it brings is in the environment of the tests; a package less is an error."""
    env = installed.variables({**os.environ, "PIP_NO_INDEX": "1"})
    command = cluster_page.line("pip install", ours, page)
    assert f"'repic[{extra}]'" in command.partition("#")[0]
    done = subprocess.run(
        ["bash", "-c", command], env=env, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = re.findall(r"already satisfied: ([\w.-]+)", done.stdout)
    assert {"repic", *names(EXTRAS[extra])} <= set(said)
