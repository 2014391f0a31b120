"""Memory that is free, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give back what the C library keeps for later, after a step that used much memory.

    Small results that are kept lie between large ones that are freed, and glibc gives back only
    what lies at the end of its heap: of 270,000 objects, 1.5 GB would stay. Other C libraries have
    no such call, and nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
