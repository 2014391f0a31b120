"""A Prefect of its own for each test: nothing touches the user's home or a default port."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """Environment of a user whose Prefect is new and whose shell is set to nothing."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "REPIC_"))
    }
    return {**own, "PREFECT_HOME": str(tmp_path / "user"), "DO_NOT_TRACK": "1", "COLUMNS": "200"}
