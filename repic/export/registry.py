"""Every target by its name. A target is listed only if something reads it back in a test."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from repic import config
from repic.errors import TargetError
from repic.export.job import ExportTarget

MODULES = {
    "hf": "hf",
    "trl": "trl",
    "ms-swift": "ms_swift",
    "llamafactory": "llamafactory",
    "verl": "verl",
    "openrlhf": "openrlhf",
    "repic-json": "repic_json",
    "coco": "coco",
    "yolo": "yolo",
    "webdataset": "webdataset",
    "csv": "table",
}
"""Name of a target -> its module in this package, which has `FACTS` and `write`."""


def target(name: str) -> ExportTarget:
    """A target by its name.

    Raises:
        TargetError: there is no such target.
    """
    if name not in MODULES:
        raise TargetError(f"there is no target {name!r}{config.nearest(name, [*MODULES])}")
    module = import_module(f"repic.export.{MODULES[name]}")
    return ExportTarget(name, module.FACTS, module.write)


def targets() -> Iterator[ExportTarget]:
    """All targets."""
    for name in MODULES:
        yield target(name)
