from __future__ import annotations

from pathlib import Path

import pytest

from storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "a store's *ünïcode* [1]", create=True)


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.name}", create=True)
