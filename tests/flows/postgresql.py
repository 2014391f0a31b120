"""A PostgreSQL of a test: a cluster in a folder of its own, which only a socket file reaches."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Settings of a database that nobody needs tomorrow."""


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a cluster; the URL of its database, as Prefect takes it.

    It runs as another user if this one is root, which PostgreSQL refuses. The test is skipped where
    PostgreSQL is not installed.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))  # a socket has a short path
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, **user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    settings = " ".join(f"-c {one}" for one in (*FAST, "listen_addresses=", "max_connections=200"))
    try:
        run("initdb", "-D", data, "-U", "prefect", "-A", "trust", "--no-sync", "-E", "UTF8")
        started = ("-w", "-t", "240", "-l", str(folder / "log"), "-o", f"{settings} -k {folder}")
        run("pg_ctl", "start", "-D", data, *started)
        run("createdb", "-h", str(folder), "-U", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect@/prefect?host={folder}"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "stop", "-D", data, "-m", "immediate", "-t", "60")
        shutil.rmtree(folder)


def _programs() -> Path:
    """The folder of the programs of PostgreSQL."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not debian:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    return debian[-1].parent
