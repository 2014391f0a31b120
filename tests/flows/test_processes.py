from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.local.parent_death import PARENT
from flows.local.processes import ChildProcess, ProcessExitedError, interruptible


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for_line(path: Path) -> str:
    """Content of a file, once a process has written it."""
    deadline = time.monotonic() + 120
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.02)
    return path.read_text().strip()


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 120
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


GRANDCHILD = """
import subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
print(child.pid, flush=True)
time.sleep(99)
"""


def test_stop_ends_all_that_a_child_started_even_what_ignores_it(tmp_path: Path) -> None:
    child = ChildProcess("parent", python(GRANDCHILD), os.environ, tmp_path / "log")
    grandchild = int(wait_for_line(tmp_path / "log"))
    child.check()
    child.stop()
    assert child.returncode == -signal.SIGTERM
    assert ends(grandchild)
    child.stop()


def test_a_child_that_died_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('the reason'); raise SystemExit(3)"
    child = ChildProcess("worker", python(code), os.environ, tmp_path / "a folder" / "log")
    child._process.wait()
    with pytest.raises(ProcessExitedError, match=r"worker ended with code 3[\s\S]*the reason"):
        child.check()
    with pytest.raises(ProcessExitedError):
        child.done()


def test_done(tmp_path: Path) -> None:
    child = ChildProcess("work", python("pass"), os.environ, tmp_path / "log")
    child._process.wait()
    assert child.done()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children")
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from flows.local.parent_death import PARENT
from flows.local.processes import ChildProcess
child = ChildProcess("x", ["sleep", "99"], os.environ, Path({str(tmp_path)!r}) / "log")
print(child._process.pid, flush=True)
time.sleep(99)
"""
    parent = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    while not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"):
        assert alive(pid)
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ends(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children")
def test_a_child_whose_parent_ended_before_it_started_does_not_run(tmp_path: Path) -> None:
    parent = subprocess.Popen(["true"])
    parent.wait()
    command = [sys.executable, "-m", "flows.local.parent_death", "touch", str(tmp_path / "ran")]
    done = subprocess.run(
        command, env={**os.environ, PARENT: str(parent.pid)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"The parent process {parent.pid} has ended.\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children")
def test_a_child_of_a_child_knows_its_parent(tmp_path: Path) -> None:
    """As a flow run does, which the worker starts by `parent_death` too."""
    code = """
import subprocess, sys
command = [sys.executable, "-m", "flows.local.parent_death", "echo", "it runs"]
subprocess.run(command, check=True)
"""
    child = ChildProcess("worker", python(code), os.environ, tmp_path / "log")
    child.wait(120)
    assert child.done()
    assert (tmp_path / "log").read_text() == "it runs\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_interrupts_and_the_next_ones_wait(number: signal.Signals) -> None:
    handler = signal.getsignal(number)
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert cleaned
    assert signal.getsignal(number) == handler
