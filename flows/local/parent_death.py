"""`python -m flows.local.parent_death COMMAND ...`: run a command that ends with its parent.

A process that is killed cannot end its children. On Linux the kernel can: it sends them SIGTERM. On
other systems the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>; survives exec."""


def main(command: list[str]) -> None:
    """Become `command`."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the kernel was asked
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
