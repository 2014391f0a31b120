"""Objectives by their names: our own, and those of packages beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from repic.config import plugins
from repic.errors import RowError
from repic.objectives.objective import Objective

OWN = tuple(plugins.OWN["objectives"])


def objective_of(name: Any) -> Objective:
    """The objective of a name.

    Raises:
        RowError: there is none.
        PluginError: it is of a plug-in that cannot be used.
    """
    if not isinstance(name, str) or not plugins.has("objectives", name):
        known = ", ".join(plugins.names("objectives"))
        raise RowError(
            f"objective {name!r} is not one of {known}; if it is of a plug-in, install its package"
        )
    return _made(name, plugins.load("objectives", name))


@cache
def _made(name: str, kind: type[Objective]) -> Objective:
    if kind.name != name:
        raise plugins.find("objectives", name).error(f"calls itself {kind.name}")
    return kind()


def in_order(names: Iterable[str]) -> list[str]:
    """Our own objectives, then those of these that are not, by name."""
    return [*OWN, *sorted(set(names) - set(OWN))]
