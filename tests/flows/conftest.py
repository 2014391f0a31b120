"""Prefect for tests: nothing touches the user's home or a default port.

`api` and `shared_up` are started once per session; use them unless the test ends them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.local import server
from flows.local.access import Access
from tests.flows.up import Up, new_user, running_up
from tests.ports import free_port


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """Environment of a user whose Prefect is new and who has set nothing."""
    return new_user(tmp_path / "user")


@pytest.fixture(scope="session")
def api_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PREFECT_HOME of the server `api`."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def api(api_home: Path) -> Iterator[Access]:
    """A server without workers."""
    access = Access(free_port())
    process = server.start(api_home, access, ui=False)
    try:
        server.wait_until_healthy(process, access.url)
        with (
            closing(sqlite3.connect(api_home / "prefect.db")) as source,
            closing(sqlite3.connect(api_home / "migrated.db")) as copy,
        ):
            source.backup(copy)
        yield access
    finally:
        process.stop()


@pytest.fixture(scope="session")
def database(api: Access, api_home: Path) -> Path:
    """A migrated, empty database, as `install_database` copies it."""
    return api_home / "migrated.db"


@pytest.fixture(scope="session")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A `repic up` for tests that leave it running; each builds into a store of its own."""
    with running_up(tmp_path_factory.mktemp("shared-up")) as up:
        yield up


@pytest.fixture
def up(tmp_path: Path, database: Path) -> Iterator[Up]:
    """A `repic up` for one test, which may end it."""
    with running_up(tmp_path, database) as up:
        yield up
