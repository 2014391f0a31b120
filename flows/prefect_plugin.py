"""Bare deployment names: `prefect deployment run build-datasets`.

Prefect's command line takes only FLOW/DEPLOYMENT, and ours share one name. This plugin runs while
`prefect` is imported, which is before its command line is read, and writes the name out. It is
used where plugins are enabled: in this repository, and in the profile that `repic up` activates.
"""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from prefect.plugins import register_hook

if TYPE_CHECKING:
    from prefect.plugins import HookContext

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"

COMMAND = ("deployment", "run")
GLOBAL_VALUES = frozenset({"--profile", "-p"})
FLAGS = frozenset({"--watch", "--no-watch", "--help", "-h"})
"""Options of the command that no value follows; every other one takes the next argument."""


def expand(argv: list[str]) -> list[str]:
    """The arguments of a `prefect deployment run NAME`, with NAME as NAME/NAME.

    Other programs, other commands and names that have a slash come back as they are.
    """
    if not argv or PurePath(argv[0]).name not in {"prefect", "prefect.exe"}:
        return argv
    words = iter(enumerate(argv[1:], start=1))
    command: list[str] = []
    for at, word in words:
        if word.startswith("-"):
            takes_value = word in GLOBAL_VALUES if len(command) < 2 else word not in FLAGS
            if takes_value and "=" not in word:
                next(words, None)
        elif len(command) < len(COMMAND):
            command.append(word)
        elif tuple(command) != COMMAND or "/" in word:
            return argv
        else:
            return [*argv[:at], f"{word}/{word}", *argv[at + 1 :]]
    return argv


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Prefect's hook of the start of a process."""
    sys.argv = expand(sys.argv)
