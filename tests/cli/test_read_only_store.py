"""A store that was moved and cannot be written: everything that only reads works."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builds import Built

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def archived(built: Built, tmp_path: Path) -> Iterator[Path]:
    """A copy of the shared store, mounted read-only at another path; only root can do this."""
    built.copy(tmp_path / "store")
    place = tmp_path / "archive"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "--bind", tmp_path / "store", place]).returncode:
        pytest.skip("only root can mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_read_only_store_is_queried_and_reported(
    archived: Path, repic_main: Main, tmp_path: Path
) -> None:
    for command in (
        ["sql", "select count(*) from pairs", "--format", "csv"],
        ["status"],
        ["log"],
        ["verify"],
        ["quarantine"],
        ["lineage", "dataset@latest"],
        ["report", "--out", str(tmp_path / "report.html")],
        ["catalog", "--out", str(tmp_path / "catalog.duckdb")],
    ):
        code, _, error = repic_main(*command, "--store", str(archived))
        assert code == 0, (command, error)
    assert "read-only" not in repic_main("doctor", "--store", str(archived))[2]


def test_what_would_write_says_so_in_one_sentence(archived: Path, repic_main: Main) -> None:
    for command in (["catalog"], ["tag", "dataset@v1", "mine"]):
        code, _, error = repic_main(*command, "--store", str(archived))
        assert code == 2
        assert "the disk is read-only" in error
        assert "Traceback" not in error
    assert "repic catalog --out FILE" in repic_main("catalog", "--store", str(archived))[2]
