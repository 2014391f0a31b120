"""docs/licences.md names everything that is shipped or linked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {".py", ".yaml", ".html", ".css", ".sql", ".js", ".typed"}
"""Suffixes of files that are ours, unless the page names them."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table of a section."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def packages(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", text)[0] for text in requirements}  # type: ignore[index]


def test_every_dependency_has_its_licence() -> None:
    assert {name for name, *_ in rows("Linked by default")} == packages(PROJECT["dependencies"])
    ours = {
        (package, f"`{extra}`")
        for extra, requirements in PROJECT["optional-dependencies"].items()
        for package in packages(requirements)
    }
    assert {(name, extra) for name, extra, _ in rows("Linked by extras")} == ours


def test_every_file_of_the_package_has_its_licence() -> None:
    named = [text for files, *_ in rows("In the package") for text in re.findall("`(.+?)`", files)]
    for path in sorted((ROOT / "repic").rglob("*")):
        ours = path.suffix in OURS and ".min" not in path.name
        if path.is_dir() or "__pycache__" in path.parts or ours:
            continue
        place = path.relative_to(ROOT / "repic").as_posix()
        covered = [text for text in named if place.startswith(text) or path.match(text)]
        assert covered, f"docs/licences.md does not say under which licence {place} is"


def test_the_licence_is_that_of_the_package() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
