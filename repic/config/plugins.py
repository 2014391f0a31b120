"""What is registered under a name: our own kinds, and those of packages installed beside ours.

Our own are the dotted paths in `OWN`. A package registers more by entry points of the groups
`repic.objectives`, `repic.sources` and so on (docs/extending.md). Both are imported when they are
first used, so a package that is broken stops only commands that use it.

Only metadata of distributions on Python's path is read, but for the working directory: no store and
no data set can name code.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from repic.errors import PluginError, RepicError

Group = Literal["objectives", "sources", "detectors", "encoders", "rewards", "exports"]
GROUPS: tuple[Group, ...] = get_args(Group)
PREFIX = "repic."
"""Before the name of a group in the entry points of a package."""

OWN: Mapping[Group, Mapping[str, str]] = {
    "objectives": {
        "oct": "repic.objectives.oct:Oct",
        "vlt": "repic.objectives.vlt:Vlt",
        "ict": "repic.objectives.ict:Ict",
    },
    "sources": {
        "folder": "repic.sources.folder",
        "library": "repic.sources.photo_library",
        "coco": "repic.sources.coco",
        "refcoco": "repic.sources.refcoco",
        "celeba": "repic.sources.celeba",
        "voc": "repic.sources.voc",
        "yolo": "repic.sources.yolo",
        "repic": "repic.sources.repic_records",
        "hf": "repic.sources.hf",
        "sql": "repic.sources.sql",
        "video": "repic.sources.video",
        "webdataset": "repic.sources.webdataset",
        "subjects200k": "repic.sources.subjects200k",
        "sample": "repic.sources.sample",
    },
    "detectors": {
        "annotation": "repic.models.detectors.annotation",
        "photos": "repic.models.detectors.main_object",
        "yolo": "repic.models.detectors.yolo:Yolo",
        "yolo-world": "repic.models.detectors.yolo:OpenYolo",
        "yoloe": "repic.models.detectors.yolo:OpenYolo",
        "transformers": "repic.models.detectors.grounded",
    },
    "encoders": dict.fromkeys(("photos", "sample"), "repic.models.encoder:OpenClip"),
    "rewards": {
        "judge": "repic.rewards.judge",
        "clip_score": "repic.rewards.clip_score",
    },
    "exports": {
        "hf": "repic.export.hf",
        "trl": "repic.export.trl",
        "ms-swift": "repic.export.ms_swift",
        "llamafactory": "repic.export.llamafactory",
        "verl": "repic.export.verl",
        "openrlhf": "repic.export.openrlhf",
        "repic-json": "repic.export.repic_json",
        "coco": "repic.export.coco",
        "fiftyone": "repic.export.fiftyone",
        "yolo": "repic.export.yolo",
        "webdataset": "repic.export.webdataset",
        "csv": "repic.export.table",
    },
}
"""Group -> name -> dotted path of a module, or MODULE:ATTRIBUTE."""

NEEDED: Mapping[Group, tuple[str, ...]] = {
    "objectives": (
        *(
            "attacks",
            "best",
            "blind",
            "form",
            "gold",
            "has_gold",
            "name",
            "question",
            "reward",
            "rows",
        ),
        *("task", "templates", "title", "wrong"),
    ),
    "sources": ("FACTS", "photos"),
    "detectors": ("OPEN_VOCABULARY", "describe", "load"),
    "encoders": ("describe", "load", "reads_texts"),
    "rewards": ("RULE", "component", "is_on", "looks"),
    "exports": ("FACTS", "write"),
}
"""What a registered object must have; one of a package also needs `VERSION`."""

_FACTS: Mapping[str, str] = {"sources": "SourceFacts", "exports": "TargetFacts"}
"""Class of `FACTS`, by its name, since it lies above this package."""

SETTINGS = "SETTINGS"
"""Attribute with the model of the settings of a plug-in, a `repic.config.Section`; optional."""

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class Plugin:
    """An entry of a group.

    Attributes:
        path: Dotted path of a module, or MODULE:ATTRIBUTE.
        distribution: The package that registers it; empty for our own.
        release: Version of the package.
    """

    group: Group
    name: str
    path: str
    distribution: str = ""
    release: str = ""

    def __str__(self) -> str:
        return f"{self.group}: {self.name} of the package {self.distribution} {self.release}"

    @property
    def key(self) -> tuple[Group, str]:
        """Group and name."""
        return self.group, self.name

    @property
    def needed(self) -> tuple[str, ...]:
        """Attributes that the object must have."""
        return (*NEEDED[self.group], "VERSION") if self.distribution else NEEDED[self.group]

    def error(self, problem: str) -> PluginError:
        """The error that names the package and the remedy."""
        return PluginError(
            f"the plug-in {self} {problem}; update {self.distribution} or uninstall it "
            "(`repic doctor plugins` lists all plug-ins)"
        )


def names(group: Group) -> list[str]:
    """All names of a group: our own, then those of packages."""
    return list(dict.fromkeys([*OWN[group], *(plugin.name for plugin in _of(group))]))


def has(group: Group, name: str) -> bool:
    """Whether something is registered under a name; imports nothing."""
    return name in OWN[group] or any(plugin.name == name for plugin in _of(group))


def is_own(group: Group, name: str) -> bool:
    """Whether it is our own."""
    return name in OWN[group]


def is_plugin(group: Group, name: str) -> bool:
    """Whether a package registers it, and not we."""
    return name not in OWN[group] and has(group, name)


def find(group: Group, name: str) -> Plugin:
    """The entry of a name.

    Raises:
        KeyError: there is none.
        PluginError: two packages register it.
    """
    if name in OWN[group]:
        return Plugin(group, name, OWN[group][name])
    found = [plugin for plugin in _of(group) if plugin.name == name]
    if not found:
        raise KeyError(name)
    if problem := _misnamed(found[0]):
        raise found[0].error(problem)
    return found[0]


@cache
def load(group: Group, name: str) -> Any:
    """The object of a name, imported on its first use.

    Raises:
        KeyError: there is none.
        PluginError: it cannot be imported, or lacks what the group needs.
    """
    plugin = find(group, name)
    module, _, attribute = plugin.path.partition(":")
    if not plugin.distribution:
        own = import_module(module)
        return getattr(own, attribute) if attribute else own
    try:
        found: Any = import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # code of others may raise anything
        cause = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise plugin.error(f"cannot be imported ({cause})") from error
    abstract: frozenset[str] = getattr(found, "__abstractmethods__", frozenset())
    if missing := [n for n in plugin.needed if n in abstract or not hasattr(found, n)]:
        raise plugin.error(f"lacks {', '.join(missing)} in {plugin.path}")
    if not isinstance(found.VERSION, int | str):
        raise plugin.error(f"has a VERSION that is no number in {plugin.path}")
    if (facts := _FACTS.get(group)) and type(found.FACTS).__name__ != facts:
        raise plugin.error(f"has FACTS in {plugin.path} that are no {facts}")
    if not _is_section(getattr(found, SETTINGS, None)):
        raise plugin.error(f"has {SETTINGS} in {plugin.path} that are no repic.config.Section")
    return found


def settings_of(group: Group, name: str) -> Any:
    """The model of the settings of a plug-in; None for our own, whose settings are in the tree, and
    for a plug-in without.

    Raises:
        PluginError: the plug-in cannot be used.
    """
    if name in OWN[group] or not has(group, name):
        return None
    return getattr(load(group, name), SETTINGS, None)


def settings_models(group: Group) -> Iterator[tuple[str, Any]]:
    """Name and settings of each plug-in of a group that can be used and has any."""
    for plugin in _of(group):
        if problem_of(plugin) is None and (model := settings_of(group, plugin.name)):
            yield plugin.name, model


def usable(group: Group) -> Iterator[Plugin]:
    """Our own of a group, and the plug-ins that can be used; the others are warned about."""
    yield from (Plugin(group, name, path) for name, path in OWN[group].items())
    for plugin in _of(group):
        if problem := problem_of(plugin):
            _log.warning("%s", problem)
        else:
            yield plugin


def identity(group: Group, name: str) -> dict[str, Any]:
    """The version of a plug-in, for fingerprints; empty for our own.

    Raises:
        PluginError: the plug-in cannot be used.
    """
    plugin = find(group, name)
    if not plugin.distribution:
        return {}
    version = load(group, name).VERSION
    return {"package": plugin.distribution, "release": plugin.release, "version": version}


def described(group: Group, name: str, settings: Any) -> dict[str, Any]:
    """What fingerprints say of a plug-in: its version and its settings; empty for our own."""
    made = identity(group, name)
    if not made:
        return {}
    return {"plugin": made, "settings": settings.model_dump(mode="json") if settings else {}}


def installed() -> list[Plugin]:
    """Every plug-in of every package, by group."""
    return [plugin for group in GROUPS for plugin in _of(group)]


def problem_of(plugin: Plugin) -> str | None:
    """Why a plug-in cannot be used; None if it can. Imports it."""
    if problem := _misnamed(plugin):
        return str(plugin.error(problem))
    try:
        load(plugin.group, plugin.name)
    except RepicError as error:
        return str(error)
    return None


def _is_section(settings: Any) -> bool:
    """Whether they are none or a `Section`; another model of pydantic would take wrong keys."""
    if settings is None or not isinstance(settings, type):
        return settings is None
    # By name, since that module imports this one.
    return any(
        (base.__module__, base.__name__) == ("repic.config.section", "Section")
        for base in settings.__mro__
    )


def _misnamed(plugin: Plugin) -> str | None:
    if not _NAME.fullmatch(plugin.name):
        return "has a name that is not of lower-case letters, digits, - and _"
    if plugin.name in OWN[plugin.group]:
        return f"has a name that RePIC uses: its own {plugin.name} is used"
    others = {p.distribution for p in _of(plugin.group) if p.name == plugin.name}
    if len(others) > 1:
        return f"has a name that several packages register ({', '.join(sorted(others))})"
    return None


def _of(group: Group) -> list[Plugin]:
    return [plugin for plugin in _registered() if plugin.group == group]


@cache
def _registered() -> tuple[Plugin, ...]:
    """The entry points of all distributions; of two of one name, Python imports the first."""
    from importlib import metadata

    here = Path.cwd()
    path = [folder for folder in sys.path if folder and not _is_same(folder, here)]
    found: dict[str, list[Plugin]] = {}
    for distribution in metadata.distributions(path=path):
        if f"[{PREFIX}" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        name = distribution.metadata["Name"]
        found.setdefault(
            name,
            [
                Plugin(group, point.name, point.value, name, distribution.version)
                for point in distribution.entry_points
                for group in GROUPS
                if point.group == f"{PREFIX}{group}"
            ],
        )
    return tuple(plugin for name in sorted(found) for plugin in found[name])


def _is_same(folder: str, here: Path) -> bool:
    try:
        return os.path.samefile(folder, here)
    except OSError:  # a folder of the path that does not exist
        return False
