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


def main(command: list[str]) -> None:
    """Replace this process by `command`."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before prctl
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
