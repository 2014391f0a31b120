from __future__ import annotations

from pathlib import Path

import pytest

from storage.store import Store
from tests.report import builds


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def rows(tmp_path: Path) -> builds.Rows:
    return builds.rows(tmp_path / "photos")
