"""Highest resident memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_gb() -> float:
    """In GB. Not `ru_maxrss` on Linux: it counts that of the process which started this one."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
