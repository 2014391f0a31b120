"""Packages with entry points, written to a folder as an installer would."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from repic.config import plugins


class Packages:
    """Installs packages into a folder on Python's path, for one test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))
        self._modules = set(sys.modules)
        forget()

    def install(
        self, name: str, points: Mapping[str, str], code: str, release: str = "1.0"
    ) -> None:
        """Install a package with one module.

        Args:
            points: `GROUP/NAME` -> path of an object in the module, or "" for the module itself.
            code: Of the module, which is named as the package.
        """
        (self.folder / f"{name}.py").write_text(code)
        record = self.folder / f"{name}-{release}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
        )
        lines = []
        for point, attribute in points.items():
            group, _, own_name = point.partition("/")
            path = f"{name}:{attribute}" if attribute else name
            lines.append(f"[repic.{group}]\n{own_name} = {path}\n")
        (record / "entry_points.txt").write_text("\n".join(lines))
        forget()

    def close(self) -> None:
        """Forget the packages."""
        for name in set(sys.modules) - self._modules:
            if (self.folder / f"{name}.py").exists():
                del sys.modules[name]
        forget()


def forget() -> None:
    """Read the entry points again, as a new process does."""
    plugins._registered.cache_clear()
    plugins.load.cache_clear()
