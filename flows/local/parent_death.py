"""Run a command that ends with its parent: `python -m flows.local.parent_death COMMAND ...`.

A process that is killed cannot stop its children. On Linux the kernel sends them SIGTERM instead;
on other systems the command runs without this protection.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>; survives exec."""

PARENT = "REPIC_PARENT_PROCESS"
"""Variable with the process id of the parent, which may end before its child has started."""


def main(command: list[str]) -> None:
    """Replace this process by `command`, whose own children find its process id in PARENT."""
    parent = int(os.environ.get(PARENT) or os.getppid())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before prctl
            sys.exit(f"The parent process {parent} has ended.")
    os.environ[PARENT] = str(os.getpid())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
