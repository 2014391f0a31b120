"""The wheel, installed as the tutorial says into an environment that knows nothing of the clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.test_docs import DOCS
from tools import dist_check

PATIENCE = 600.0
"""Seconds that anything may take on a busy machine."""

OFFLINE = dict.fromkeys(("PIP_NO_DEPS", "PIP_NO_INDEX", "PIP_IGNORE_INSTALLED", "PIP_QUIET"), "1")
"""Of pip: dependencies come from the environment of the tests; `make dist` installs them."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel.

    Attributes:
        folder: Holds the environment `env`, and what was built: `dist`.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "env" / "bin" / "python"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("env/lib/python*/site-packages")
        return found

    @property
    def sdist(self) -> Path:
        (found,) = self.folder.glob("dist/repic-*.tar.gz")
        return found

    def variables(self, env: dict[str, str]) -> dict[str, str]:
        """Of a shell in which the environment is activated."""
        clean = {name: value for name, value in env.items() if name != "PYTHONPATH"}
        path = f"{self.python.parent}{os.pathsep}{clean['PATH']}"
        return {**clean, "PATH": path, "VIRTUAL_ENV": str(self.python.parents[1])}


def sections(page: str) -> dict[str, list[str]]:
    """Heading -> the commands below it, as they stand in a page of docs/; "" is the beginning."""
    text = (DOCS / page).read_text(encoding="utf-8")
    first, *rest = re.split(r"^## ", text, flags=re.M)
    parts = {"": first, **{part.partition("\n")[0]: part for part in rest}}
    commands = re.compile(r"^    ((?:repic|prefect|python3|pip) .+)$", re.M)
    return {heading: commands.findall(part) for heading, part in parts.items()}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One environment for all files of tests, also those that run in another process."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            _install(folder)
            (folder / "ready").touch()
    return Installed(folder)


def _install(folder: Path) -> None:
    wheel, _ = dist_check.build(folder / "dist")
    shutil.copy(wheel, folder)
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **OFFLINE, "PATH": here}
    create, install = sections("tutorial.md")["1. Install"]
    _type(create, folder, env)
    new = Installed(folder)
    # A path file does not follow the editable install that is in the folder which it names.
    (new.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    # Before Python 3.12 a new environment has a setuptools, which is too old for torch.
    _type("pip uninstall --yes setuptools", folder, new.variables(env))
    _type(install, folder, new.variables(env))
    prefect = new.python.with_name("prefect")
    prefect.write_text(f"#!{new.python}\nfrom prefect.cli import app\napp()\n")
    prefect.chmod(0o755)


def _type(command: str, folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, f"{command}\n{done.stdout!r}\n{done.stderr!r}"
