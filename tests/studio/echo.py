"""A task for the process of the models that needs no model."""

from __future__ import annotations

import os
import threading


class Echo:
    """A task that says what it is told to, or fails, or ends its process."""

    def __init__(self, does: str) -> None:
        self.does = does

    def run(self, loaded: object) -> str:
        match self.does:
            case "die":
                os._exit(1)
            case "hang":
                threading.Event().wait()
            case "fail":
                raise RuntimeError("out of memory")
        return self.does
