"""Lists of sources, and the forms in which they are given.

`sources:` is a list. `source:` is a list of one, as is `--images FOLDER`; `--source KIND:PATH` is
an item. `--set source.KEY=VALUE` changes every item, `--set sources.NAME.KEY=VALUE` one of them, by
its name or its place in the list, from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from repic.config import plugins
from repic.config.build import DetectorSettings
from repic.config.section import nearest
from repic.config.sources import SourceSettings, kind_of, only_kind, unread_by
from repic.errors import ConfigError


def chosen(
    images: str | None = None,
    sources: Sequence[str] | None = None,
    identity: str | None = None,
) -> dict[str, Any]:
    """Values for `load(**values)` that choose sources.

    Args:
        images: Folder or URL of photos, instead of the path of the profile's source.
        sources: `KIND:PATH` each, instead of the sources of the profile.
        identity: Where identities come from, for every source.

    Raises:
        ConfigError: both `images` and `sources` are given, or a kind is unknown.
    """
    if not sources:
        kind = None if images is None else "folder"
        return {"source": {"kind": kind, "path": images, "identity": identity}}
    if images is not None:
        raise ConfigError("give --images or --source, not both: --source folder:PATH is --images")
    return {"sources": [_with_identity(parse(text), identity) for text in sources]}


def _with_identity(item: dict[str, Any], identity: str | None) -> dict[str, Any]:
    """An item with its identities from there; only folders have levels, only videos shots."""
    if identity is None or item["kind"] != only_kind(identity, item["kind"]):
        return item
    return {**item, "identity": identity}


def parse(text: str) -> dict[str, Any]:
    """Settings of a source from `KIND:PATH`; a path or URL without a kind is a folder.

    >>> parse("coco:instances.json")
    {'kind': 'coco', 'path': 'instances.json'}

    Raises:
        ConfigError: the kind is unknown.
    """
    kind, colon, path = text.partition(":")
    if not plugins.has("sources", kind):
        is_path = len(kind) < 2 or path.startswith(("//", "\\")) or os.path.exists(text)
        if colon and not is_path:  # otherwise a URL, a Windows drive, or a name with a colon
            raise ConfigError(
                f"--source {text}: there is no kind of source {kind!r}"
                f"{nearest(kind, plugins.names('sources'), '`repic sources` lists them')}"
            )
        kind, path = "folder", text
    return {"kind": kind, "path": os.path.expanduser(path) or None}


def merge(into: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Merge the sources of a layer of settings into those below it; the layer without them.

    Raises:
        ConfigError: the layer gives both `source` and `sources`, or changes a source that does not
            exist.
    """
    rest = dict(layer)
    if "source" in rest and "sources" in rest:
        raise ConfigError("give source (of one) or sources (a list), not both")
    if "sources" in rest:
        change = rest.pop("sources")
        if isinstance(change, Mapping):
            items = into.setdefault("sources", [_single({})])
            for key, values in change.items():
                _update(items[_place(items, str(key))], values, f"sources.{key}")
        else:
            is_list = isinstance(change, list | tuple)
            into["sources"] = list(map(with_defaults, change)) if is_list else change
    if "source" in rest:
        change = rest.pop("source")
        items = into.setdefault("sources", [_single({})])
        given = change if isinstance(change, Mapping) else {}
        if len(items) > 1 and (wrong := sorted({"kind", "path", "name"} & given.keys())):
            raise ConfigError(
                f"source.{wrong[0]}: there are {len(items)} sources; change one, as "
                f"sources.{names_of(items)[0]}.{wrong[0]}, or replace all by --source KIND:PATH"
            )
        for item in items:
            _update(item, change, "source")
    return rest


def completed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose `sources` are a list with complete detectors.

    Args:
        data: Settings as they are written, also with `source`, as in manifests of older versions.
    """
    data = dict(data)
    if "source" in data:
        if "sources" in data:
            raise ValueError("give source (of one) or sources (a list), not both")
        one = data.pop("source")
        data["sources"] = [one if isinstance(one, SourceSettings) else _single(one or {})]
    if isinstance(data.get("sources"), list | tuple):
        section = data.get("detector") or {}
        items = (with_defaults(item) for item in data["sources"])
        data["sources"] = [_with_detector(item, section) for item in items]
    return data


def named(sources: Sequence[SourceSettings]) -> tuple[SourceSettings, ...]:
    """The sources, each with a name.

    Raises:
        ValueError: two have the same name.
    """
    names = names_of([source.model_dump(include={"name", "kind", "path"}) for source in sources])
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(
                f"two sources are called {name}: give each a name (sources.{number}.name)"
            )
    return tuple(
        source if source.name == name else source.model_copy(update={"name": name})
        for source, name in zip(sources, names, strict=True)
    )


def names_of(items: Sequence[Any]) -> list[str]:
    """Names of sources: their own; the kind; for further ones of a kind, kind and end of the path.

    >>> names_of([{"path": "a"}, {"kind": "coco"}, {"path": "photos/Zoé & Ann/"}])
    ['folder', 'coco', 'folder-Zoé-Ann']
    """
    names: list[str] = []
    for item in items:
        given = item if isinstance(item, Mapping) else {}
        kind = str(given.get("kind") or "folder")
        name = given.get("name") or kind
        if not given.get("name") and name in names:
            last = re.split(r"[\\/]", str(given.get("path") or "").rstrip("\\/"))[-1]
            name = "-".join([kind, *re.findall(r"[\w-]+", last)])
        names.append(str(name))
    return names


def with_defaults(item: Any) -> Any:
    """An item of `sources` with the defaults of its kind."""
    if not isinstance(item, Mapping):
        return item
    kind = str(item.get("kind") or "folder")
    return {**kind_of(kind).defaults, **item} if plugins.has("sources", kind) else dict(item)


def as_read(data: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings without those that a source never read, which were allowed once."""

    def item_as_read(item: Any) -> Any:
        if not isinstance(item, Mapping):
            return item
        unread = unread_by(str(item.get("kind") or "folder"))
        return {key: value for key, value in item.items() if key not in unread}

    data = dict(data)
    if "source" in data:
        data["source"] = item_as_read(data["source"])
    if isinstance(data.get("sources"), list | tuple):
        data["sources"] = list(map(item_as_read, data["sources"]))
    return data


def _single(source: Any) -> Any:
    """An item of `sources` from a section `source`, which has no defaults of its kind."""
    if not isinstance(source, Mapping):
        return source
    own = {
        name: SourceSettings.model_fields[name].get_default() for name in ("identity", "detector")
    }
    return {**own, **source}


def _with_detector(item: Any, section: Any) -> Any:
    """An item whose detector is complete: on top of the section, unless its kind is another."""
    if not isinstance(item, Mapping) or not item.get("detector"):
        return item
    own = item["detector"]
    if isinstance(own, str):
        own = {"kind": own}
    if isinstance(section, DetectorSettings):
        section = section.model_dump()
    if isinstance(own, Mapping) and isinstance(section, Mapping):
        used = {"annotation", section.get("kind", DetectorSettings().kind)}
        if own.get("kind") is None or own["kind"] in used:
            own = {**section, **own}
    return {**item, "detector": own}


def _place(items: Sequence[Any], key: str) -> int:
    names = names_of(items)
    if key.isascii() and key.isdigit() and int(key) < len(items):
        return int(key)
    if key not in names:
        raise ConfigError(f"sources.{key}: there is no such source; one of: {', '.join(names)}")
    return names.index(key)


def _update(item: dict[str, Any], change: Any, where: str) -> None:
    if not isinstance(change, Mapping):
        raise ConfigError(f"{where} is a section of settings, not {change!r}")
    old, new = (str(of.get("kind") or "folder") for of in (item, {**item, **change}))
    for name in unread_by(new) - unread_by(old):  # chosen for a source of the old kind
        item.pop(name, None)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(item.get(key), dict):
            item[key] = {**item[key], **value}
        else:
            item[key] = value
