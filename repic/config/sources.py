"""The sources of a build: the settings of each, and the forms in which they are given.

`sources:` is a list. `source:` is a list of one, as is `--images FOLDER`; `--source KIND:PATH` is
an item. `--set source.KEY=VALUE` changes every item, `--set sources.NAME.KEY=VALUE` one of them, by
its name or its place in the list, from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from repic.config.build import DetectorSettings, Objective
from repic.config.section import Section, nearest
from repic.errors import ConfigError

_IDENTITY = re.compile(r"folder(:(named|-?[1-9][0-9]{0,2}))?|annotation|shot|none")
_BOXES = {"identity": "annotation", "detector": {"kind": "annotation"}}


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        module: The module that reads it; see `repic.sources.base.SourceFacts`.
        defaults: Settings of an item of `sources` that does not give them.
        of_owner: Whether its boxes and labels are the owner's words, which go before all models.
        on_hub: Whether it may be on the hub of Hugging Face, so that it has a commit.
    """

    module: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    of_owner: bool = False
    on_hub: bool = False


KINDS: Mapping[str, SourceKind] = {
    "folder": SourceKind("repic.sources.folder", of_owner=True),
    "library": SourceKind("repic.sources.photo_library", _BOXES),
    "coco": SourceKind("repic.sources.coco", _BOXES),
    "refcoco": SourceKind("repic.sources.refcoco", _BOXES),
    "celeba": SourceKind("repic.sources.celeba", _BOXES),
    "hf": SourceKind("repic.sources.hf", on_hub=True),
    "sql": SourceKind("repic.sources.sql"),
    "video": SourceKind("repic.sources.video"),
    "webdataset": SourceKind("repic.sources.webdataset", on_hub=True),
    "subjects200k": SourceKind("repic.sources.subjects200k", on_hub=True),
    "sample": SourceKind("repic.sources.sample", _BOXES),
}
"""Every kind of source by its name."""


class SourceSettings(Section):
    """Where photos come from."""

    name: str = Field(
        "",
        pattern=r"^([^\W\d][\w-]*)?$",
        description="Its name in tables; empty: its kind, or kind and path if there are several.",
    )
    kind: str = Field(
        "folder",
        description="What `path` is, see `repic sources`; sample generates photos.",
    )
    path: str | None = Field(
        None, description="Folder, annotation file or data set; a path or URL."
    )
    detector: DetectorSettings | None = Field(
        None, description="Its own detector: changes to the section; empty: that of the section."
    )
    objectives: tuple[Objective, ...] = Field(
        ("oct", "vlt", "ict"), min_length=1, description="Objectives that its photos are used for."
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="How likely its rows are drawn where examples.total or examples.shares limit "
        "them, relative to rows of other sources.",
    )
    images: str | None = Field(
        None, description="The folder that file names of a data set are relative to and stay in."
    )
    refs: str | None = Field(None, description="coco: a file of RefCOCO's referring expressions.")
    identity: str = Field(
        "folder",
        description="Where identities come from: the source's annotation, the shot of a video, "
        "none, or folder: the sub-folder; folder:LEVEL is the one at a level, 1 the first below "
        "`path`, -1 that of the photo.",
    )
    label: Literal["folder", "none"] = Field(
        "none",
        description="folder: the sub-folder that is the identity is also the label of the object, "
        "such as `red mug`.",
    )
    config: str | None = Field(
        None, description="hf: the configuration (subset) of a data set that has several."
    )
    revision: str | None = Field(
        None, description="hf, subjects200k: commit, tag or branch of a data set on the hub."
    )
    split: str = Field("train", description="hf, subjects200k: the split to read.")
    image_column: str = Field(
        "image", description="hf: the column of the photo; webdataset: its ending."
    )
    identity_column: str | None = Field(
        None, description="hf: the column or field that names the subject of the photo."
    )
    label_column: str | None = Field(
        None, description="hf: the column or field with the noun of the photo's main object."
    )
    caption_column: str | None = Field(
        None, description="hf: the column or field, such as `texts.en`, that holds a true caption."
    )
    objects_column: str | None = Field(
        None, description="hf: the column of objects, each with `bbox` and `category`."
    )
    box_format: Literal["xywh", "xyxy"] = Field(
        "xywh", description="hf: what the four numbers of a `bbox` are, in pixels."
    )
    min_quality: int = Field(
        5, ge=0, le=5, description="subjects200k: lowest accepted value of its three grades."
    )
    licence: str | None = Field(None, description="Licence of all photos of this source.")
    count: int = Field(400, ge=1, description="sample: photos to generate.")
    identities: int = Field(60, ge=2, description="sample: how many identities appear in them.")
    size: int = Field(168, ge=56, description="sample: side of a photo in pixels.")
    seed: int = Field(0, description="sample: seed of the generated world.")

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"there is no such kind of source{nearest(kind, list(KINDS))}")
        return kind

    @field_validator("identity")
    @classmethod
    def _has_a_level(cls, identity: str) -> str:
        if not _IDENTITY.fullmatch(identity):
            raise ValueError(
                "write folder, folder:LEVEL (1 is the first below the root, -1 that of the photo), "
                "annotation, shot or none"
            )
        return identity

    @model_validator(mode="after")
    def _fits_the_kind(self) -> SourceSettings:
        if (kind := _only_kind(self.identity, self.kind)) != self.kind:
            raise ValueError(f"identity {self.identity} is for a source of kind {kind}")
        return self

    @property
    def identity_from(self) -> str:
        """`identity` without a level: folder, annotation, shot or none."""
        return self.identity.partition(":")[0]

    def with_level(self, level: str) -> SourceSettings:
        """The same settings with the level `folder:LEVEL` where a folder's level is to be found."""
        if (self.kind, self.identity) != ("folder", "folder"):
            return self
        return self.model_copy(update={"identity": level})

    @property
    def of_owner(self) -> bool:
        """Whether its boxes and labels are the owner's words, which go before all models."""
        return KINDS[self.kind].of_owner

    def require_path(self) -> None:
        """Raises: ConfigError: a source that needs a path has none."""
        if self.kind != "sample" and not self.path:
            raise ConfigError(
                f"a source of kind {self.kind} needs a path (source.path, --source, or --images)"
            )


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
        kind = "folder" if images else None
        return {"source": {"kind": kind, "path": images, "identity": identity}}
    if images:
        raise ConfigError("give --images or --source, not both: --source folder:PATH is --images")
    return {"sources": [_with_identity(parse(text), identity) for text in sources]}


def _only_kind(identity: str, kind: str) -> str:
    """The one kind that has identities of a form; any kind for others."""
    return "folder" if ":" in identity else "video" if identity == "shot" else kind


def _with_identity(item: dict[str, Any], identity: str | None) -> dict[str, Any]:
    """An item with its identities from there; only folders have levels, only videos shots."""
    if identity is None or item["kind"] != _only_kind(identity, item["kind"]):
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
    if kind not in KINDS:
        is_path = len(kind) < 2 or path.startswith(("//", "\\")) or os.path.exists(text)
        if colon and not is_path:  # otherwise a URL, a Windows drive, or a name with a colon
            raise ConfigError(
                f"--source {text}: there is no kind of source {kind!r}{nearest(kind, list(KINDS))}"
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
            into["sources"] = [with_defaults(item) for item in change or ()] or change
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
    kind = KINDS.get(str(item.get("kind") or "folder"))
    return {**kind.defaults, **item} if kind else dict(item)


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
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(item.get(key), dict):
            item[key] = {**item[key], **value}
        else:
            item[key] = value
