"""The faults are really put in: errors in calls, power cuts, and the table that counts them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from tests.torture import calls, crowd, power
from tests.torture.calls import DIE, Call
from tests.torture.power import Disk
from tests.torture.processes import forked
from tests.torture.record import Record, table

pytestmark = pytest.mark.slow


@pytest.fixture
def watching() -> None:
    if reason := calls.unavailable():
        pytest.skip(reason)


def write(path: Path, text: str, durably: bool) -> None:
    """Write a file, and with `durably` fsync it and its folder."""
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        if durably:
            os.fsync(file.fileno())
    if durably:
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def test_a_call_fails_as_it_is_told(watching: None, tmp_path: Path) -> None:
    def answer(call: Call) -> int:
        return errno.ENOSPC if call.name == "write" else 0

    outcome = calls.supervised(lambda: (tmp_path / "a").write_text("b"), tmp_path, answer)
    assert outcome.error.startswith("OSError: [Errno 28]")


def test_reads_by_native_code_are_seen(watching: None, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    seen: list[Call] = []

    def note(call: Call) -> int:
        seen.append(call)
        return 0

    outcome = calls.supervised(
        lambda: dataset.dataset(str(tmp_path / "a.parquet")).to_table().num_rows, tmp_path, note
    )
    assert outcome.value == 1
    assert {"open", "read"} <= {call.name for call in seen}
    assert {path for call in seen for path in call.paths} == {"a.parquet"}


def test_a_process_dies_before_a_call(watching: None, tmp_path: Path) -> None:
    def at_mkdir(call: Call) -> int:
        return DIE if call.name == "mkdir" else 0

    outcome = calls.supervised((tmp_path / "a").mkdir, tmp_path, at_mkdir)
    assert (outcome.kind, outcome.error) == ("killed", signal.SIGKILL.name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_only_what_was_synced_is_sure_to_survive_a_power_cut(
    watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    monkeypatch.setattr(power, "CHANCES", (chance,))
    store = tmp_path / "store"
    store.mkdir()
    write(store / "old", "old", durably=True)
    disk = Disk(tmp_path, "store")

    def note(call: Call) -> int:
        disk.before(call)
        return 0

    def work() -> None:
        write(store / "sure", "sure", durably=True)
        write(store / "unsure", "unsure", durably=False)
        os.replace(store / "sure", store / "old")

    calls.supervised(work, tmp_path, note)
    disk.cut(tmp_path / "after", Random(0))
    left = {path.name: path.read_text() for path in (tmp_path / "after").iterdir()}
    if chance:
        assert left.pop("unsure").rstrip("\0") in {"unsure"[:length] for length in range(7)}
        assert left == {"old": "sure"}
    else:
        assert left == {"old": "old", "sure": "sure"}


def test_a_process_in_another_namespace_is_its_first() -> None:
    outcome = forked(lambda: crowd.in_namespace(os.getpid))
    if outcome.kind == "raised":
        pytest.skip(outcome.error)
    assert outcome.value == 1


def test_the_table_counts_what_was_lost() -> None:
    record = Record("kills")
    record.count("first", [])
    record.count("second", ["gone"])
    lines = table([record]).splitlines()
    assert lines[1].split() == ["kills", "2", "1", "1", "0"]
    assert lines[-1] == "lost: kills: second: gone"
