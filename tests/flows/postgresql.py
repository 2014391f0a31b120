"""A PostgreSQL of a test: a cluster in a folder of its own, and its administrator's commands.

As on Debian, the administrator comes through a socket file without a password, and all others
over 127.0.0.1 with one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Settings of a database that nobody needs tomorrow."""


@dataclass(frozen=True)
class PostgreSQL:
    """A running cluster without a database of ours."""

    programs: Path
    folder: Path
    port: int

    def run(self, command: Sequence[str], typed: str = "") -> None:
        """Run a command as its administrator, whom the test need not become.

        Args:
            command: It begins with `sudo -u postgres`.
            typed: What the administrator types; without a terminal it is read from the input.
        """
        assert command[:3] == ["sudo", "-u", "postgres"]
        own = {"PGHOST": str(self.folder), "PGPORT": str(self.port), "PGUSER": "postgres"}
        done = subprocess.run(
            [str(self.programs / command[3]), *command[4:]],
            env={**os.environ, **own},
            input=typed,
            capture_output=True,
            text=True,
            timeout=300,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """Start a cluster.

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
    cluster = PostgreSQL(programs, folder, free_port())
    address = ("listen_addresses=127.0.0.1", f"port={cluster.port}", "max_connections=200")
    settings = " ".join(f"-c {one}" for one in (*FAST, *address))
    trusted = ("-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
    try:
        run("initdb", "-D", data, *trusted, "--no-sync", "-E", "UTF8")
        started = ("-w", "-t", "240", "-l", str(folder / "log"), "-o", f"{settings} -k {folder}")
        run("pg_ctl", "start", "-D", data, *started)
        yield cluster
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
