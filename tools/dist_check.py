"""Builds wheel and sdist, and checks that each installs alone and works.

    python -m tools.dist_check dist        # exit status 1 if something is wrong

Installs with all dependencies, as a user does, into a new environment of each Python that is
here. For those that are not, it checks that every dependency, also of all extras, has a wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
MOST_BYTES = 40 * 10**6
"""Of the wheel."""

UV = (sys.executable, "-m", "uv")
SMALL = ("--set", "source.count=12", "--set", "source.identities=4")


class DistError(Exception):
    """A distribution that is not as it should be, or a command that failed."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Standard output of a command, which sees nothing of the clone.

    Raises:
        DistError: it failed.
    """
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True
    )
    if done.returncode:
        raise DistError(
            f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def build(out: Path) -> tuple[Path, Path]:
    """Build into an empty or new folder; the paths of wheel and sdist.

    Raises:
        DistError: it failed, or the wheel is too large.
    """
    for old in (*out.glob("repic-*.whl"), *out.glob("repic-*.tar.gz")):
        old.unlink()
    run(*UV, "build", "--quiet", "--out-dir", out, ROOT)
    (wheel,), (sdist,) = out.glob("repic-*.whl"), out.glob("repic-*.tar.gz")
    if wheel.stat().st_size > MOST_BYTES:
        raise DistError(f"{wheel.name} has {megabytes(wheel)}, more than {MOST_BYTES / 1e6:.0f} MB")
    return wheel, sdist


def megabytes(path: Path) -> str:
    """The size of a file."""
    return f"{path.stat().st_size / 1e6:.1f} MB"


def install(python: Path, distribution: Path, *options: str) -> None:
    """Install a wheel or sdist in place of what the environment has of it. Raises: DistError."""
    again = ("--reinstall-package", "repic")
    run(*UV, "pip", "install", "--quiet", *again, *options, "--python", python, distribution)


def smoke(python: Path, folder: Path) -> int:
    """Ask for help, build 12 photos and query them; returns the number of examples.

    Args:
        python: Of an environment with the package.
        folder: An empty one.

    Raises:
        DistError: a command failed, or its answer is wrong.
    """
    repic = python.with_name("repic")
    if "repic build --profile sample" not in run(repic, "--help", cwd=folder):
        raise DistError(f"{repic} --help does not say how to start")
    place = run(python, "-c", "import repic; print(repic.__file__)", cwd=folder).strip()
    if not place.startswith(str(python.parents[1])):
        raise DistError(f"{place} is not in the environment {python.parents[1]}")
    store = ("--store", "store")
    built = json.loads(
        run(repic, "build", "--profile", "sample", *SMALL, *store, "--json", cwd=folder)
    )
    query = "select count(*) as n from examples"
    (counted,) = json.loads(run(repic, "sql", query, "--format", "json", *store, cwd=folder))
    if not 0 < counted["n"] == built["rows"]["examples"]:
        raise DistError(f"the build says {built['rows']} and SQL {counted}")
    return int(counted["n"])


def interpreter(version: str) -> Path | None:
    """An interpreter of a Python version on the path or of pyenv; None if there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))
    if on_path := shutil.which(name):
        found.insert(0, Path(on_path))
    return next((path for path in found if _runs(path)), None)


def _runs(python: Path) -> bool:
    """Whether it is an interpreter, and not a shim of one that is not chosen."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def check(version: str, distributions: Sequence[Path]) -> str:
    """Check the distributions with a Python version; a sentence about what was checked.

    Raises:
        DistError: something is wrong.
    """
    options = ("--python-version", version, "--only-binary", ":all:", "--no-header")
    resolved = run(*UV, "pip", "compile", "--quiet", "--all-extras", *options, "pyproject.toml")
    count = sum(line[:1].isalnum() for line in resolved.splitlines())
    wheels = f"with all extras {count} packages, each with a wheel"
    if (base := interpreter(version)) is None:
        return f"{wheels}; not installed, since there is no interpreter here"
    with tempfile.TemporaryDirectory() as temporary:
        environment = Path(temporary) / "environment"
        run(*UV, "venv", "--quiet", "--python", base, environment)
        python = environment / "bin" / "python"
        counts = []
        for number, distribution in enumerate(distributions):
            install(python, distribution, *(["--no-deps"] if number else []))
            folder = Path(temporary) / str(number)
            folder.mkdir()
            counts.append(smoke(python, folder))
    return f"wheel and sdist install and work ({counts[0]} examples); {wheels}"


def main() -> None:
    """Build, check, and say what was checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for wheel and sdist")
    out = parser.parse_args().out.resolve()
    try:
        distributions = build(out)
        for path in distributions:
            print(f"{path.name}: {megabytes(path)}", flush=True)
        for version in PYTHONS:
            print(f"Python {version}: {check(version, distributions)}", flush=True)
    except DistError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
