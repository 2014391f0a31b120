"""Worker processes that end with their parent, even if it is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time


def end_with_parent(grace: float) -> None:
    """End this process when the process that started it through `multiprocessing` has ended.

    It gets SIGTERM first, and `grace` seconds later it ends at once. In a process that was not
    started so, nothing happens. Works on every system: the parent holds the other end of a pipe.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
