"""Every target by its name. A target is listed only if something reads it back in a test."""

from __future__ import annotations

from collections.abc import Iterator

from repic import config
from repic.config import plugins
from repic.errors import TargetError
from repic.export.job import ExportTarget


def target(name: str) -> ExportTarget:
    """A target by its name.

    Raises:
        TargetError: there is no such target.
        PluginError: it is of a plug-in that cannot be used.
    """
    if not plugins.has("exports", name):
        known = config.nearest(name, plugins.names("exports"), "`repic export --list` lists them")
        raise TargetError(f"there is no target {name!r}{known}")
    module = plugins.load("exports", name)
    return ExportTarget(name, module.FACTS, module.write)


def targets() -> Iterator[ExportTarget]:
    """All targets that can be used."""
    for plugin in plugins.usable("exports"):
        yield target(plugin.name)
