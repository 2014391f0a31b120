"""What an operator has: a running `repic up`, and a second shell in another folder."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.flows.children import users_of

PREFECT = str(Path(sys.executable).with_name("prefect"))
REPIC = [sys.executable, "-m", "repic.cli"]


@dataclass
class Up:
    """A running `repic up`, its data root, and a second shell in another folder."""

    process: subprocess.Popen[bytes]
    root: Path
    elsewhere: Path
    user: dict[str, str]
    port: int

    @property
    def printed(self) -> str:
        return (self.root / "out").read_text()

    @property
    def profile(self) -> str:
        profiles = Path(self.user["PREFECT_HOME"]) / "profiles.toml"
        return str(tomllib.loads(profiles.read_text())["active"])

    def shell(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.elsewhere,
            env=self.user,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.2)

    def nobody_is_left(self) -> None:
        self.wait(lambda: not users_of(self.root), 30)
