"""An installation without ultralytics, which is AGPL-3.0: everything but its detectors works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ("--profile", "sample", "--set", "source.count=12", "--set", "source.identities=4")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with all packages of this one but ultralytics."""
    environment = tmp_path_factory.mktemp("without") / "environment"
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(command, check=True, timeout=120)
    (packages,) = environment.glob("lib/python*/site-packages")
    for item in Path(sysconfig.get_path("purelib")).iterdir():
        if not item.name.startswith(("ultralytics", "_editable_impl_repic")):
            (packages / item.name).symlink_to(item)
    return environment / "bin" / "python"


def repic(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", "repic.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_detector_of_it_is_refused_before_a_photo_is_read(python: Path, tmp_path: Path) -> None:
    done = repic(python, tmp_path, "build", *SMALL, "--store", "store")
    assert done.returncode == 2
    assert "detector.kind=yolo needs the package ultralytics (AGPL-3.0)" in " ".join(
        done.stderr.split()
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_doctor_says_what_is_missing(python: Path, tmp_path: Path) -> None:
    done = repic(python, tmp_path, "doctor", "--json")
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, found
    assert found["ultralytics"]["level"] == "note"
    assert "yolo" in found["ultralytics"]["remedy"]


@pytest.mark.slow
def test_other_detectors_build(python: Path, tmp_path: Path) -> None:
    for kind in ("annotation", "photos"):
        chosen = ("--set", f"detector.kind={kind}", "--set", "detector.expressions=none")
        done = repic(python, tmp_path, "build", *SMALL, *chosen, "--store", kind, "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["rows"]
        assert rows["detections" if kind == "annotation" else "images"] > 0
        assert rows["quarantine"] == 0
