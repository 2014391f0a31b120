"""Bare deployment names: `prefect deployment run build-datasets`.

Prefect's command line accepts only FLOW/DEPLOYMENT, and each of our flows has one deployment of the
same name. This plugin runs when `prefect` is imported, before the command line is parsed, and
completes the name. Plugins are enabled in this repository and in the profile that `repic up`
activates.
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
"""Options of the command without a value; all others consume the next argument."""


def expand(argv: list[str]) -> list[str]:
    """Replace NAME by NAME/NAME in the arguments of `prefect deployment run NAME`.

    Arguments of other programs and commands, and names with a slash, are returned unchanged.
    """
    if not argv or PurePath(argv[0]).name not in {"prefect", "prefect.exe"}:
        return argv
    words = iter(enumerate(argv[1:], start=1))
    command: list[str] = []
    for index, word in words:
        if word.startswith("-"):
            takes_value = word in GLOBAL_VALUES if len(command) < 2 else word not in FLAGS
            if takes_value and "=" not in word:
                next(words, None)
        elif len(command) < len(COMMAND):
            command.append(word)
        elif tuple(command) != COMMAND or "/" in word:
            return argv
        else:
            return [*argv[:index], f"{word}/{word}", *argv[index + 1 :]]
    return argv


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Complete the name; Prefect calls this when a process starts."""
    sys.argv = expand(sys.argv)
