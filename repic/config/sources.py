"""The settings of a source of photos, and the kinds of sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from repic.config import plugins
from repic.config.build import DetectorSettings, Objective
from repic.config.section import Extensible, added, nearest
from repic.errors import ConfigError

_IDENTITY = re.compile(r"folder(:(named|-?[1-9][0-9]{0,2}))?|annotation|object|album|shot|none")
_NAME = re.compile(r"[^\W\d][\w-]*")
_BOXES = {"identity": "annotation", "detector": {"kind": "annotation"}}


@dataclass(frozen=True)
class SourceKind:
    """What is known of a kind of source before it is read.

    Attributes:
        defaults: Settings of an item of `sources` that does not give them.
        of_owner: Whether its boxes and labels are the owner's words, which go before all models.
        on_hub: Whether it may be on the hub of Hugging Face, so that it has a commit.
        generates: Whether it makes its photos: it needs no path, and is told the splits.
        names_files: Whether its `path` only names photos, which lie in `images`.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    of_owner: bool = False
    on_hub: bool = False
    generates: bool = False
    names_files: bool = False


_OF_BOXES = SourceKind(_BOXES)
_KINDS: Mapping[str, SourceKind] = {
    "folder": SourceKind(of_owner=True),
    **dict.fromkeys(("library", "refcoco", "celeba", "voc", "yolo"), _OF_BOXES),
    "coco": SourceKind(_BOXES, names_files=True),
    "hf": SourceKind(on_hub=True, names_files=True),
    **dict.fromkeys(("webdataset", "subjects200k"), SourceKind(on_hub=True)),
    "sample": SourceKind(_BOXES, generates=True),
}
"""Of our own kinds, since settings must not import their modules; a plug-in has it as `KIND`."""


def kind_of(kind: str) -> SourceKind:
    """What is known of a kind of source.

    Raises:
        PluginError: it is of a plug-in that cannot be used.
    """
    if plugins.is_own("sources", kind):
        return _KINDS.get(kind, SourceKind())
    return getattr(plugins.load("sources", kind), "KIND", SourceKind())


def _read_by(kinds: str, default: Any, description: str, **options: Any) -> Any:
    """A setting that only some kinds of sources read, as `hf, webdataset`."""
    names = [name.strip() for name in kinds.split(",")]
    return Field(
        default,
        description=f"{kinds}: {description}",
        json_schema_extra={"kinds": list(names)},
        **options,
    )


class SourceSettings(Extensible):
    """Where photos come from."""

    group: ClassVar[plugins.Group] = "sources"

    name: str = Field(
        "",
        description="Name in tables; empty: the kind, with the path if several have this kind.",
    )
    kind: str = Field(
        "folder",
        description="What `path` is (see `repic sources`); sample generates photos.",
    )
    path: str | None = Field(
        None, description="Folder, annotation file or data set; a path or URL."
    )
    detector: DetectorSettings | None = Field(
        None, description="Changes to the section `detector` for this source; empty: none."
    )
    objectives: tuple[Objective, ...] = Field(
        tuple(plugins.OWN["objectives"]),
        min_length=1,
        description="Objectives that its photos are used for; those of plug-ins must be listed.",
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="How likely its rows are to be drawn, relative to other sources, where "
        "examples.total or examples.shares limit them.",
    )
    images: str | None = _read_by(
        "coco, refcoco, celeba, voc, yolo, repic, hf, sql",
        None,
        "the folder of the photos, where file names of the data set start and must stay.",
    )
    refs: str | None = _read_by("coco", None, "a file of RefCOCO's referring expressions.")
    identity: str = Field(
        "folder",
        description="Where identities come from. folder: the sub-folder (folder:LEVEL: the one at "
        "that level; 1 is the first below `path`, -1 the photo's own); annotation: the source; "
        "shot: of a video; album: of a library; object: no other photo shows the thing, as in "
        "COCO; none: nowhere.",
    )
    identity_scope: Literal["shared", "source"] = added(
        "shared",
        description="shared: the same name in another source is the same identity; source: it is "
        "a different one, for example where names are numbers.",
    )
    label: Literal["folder", "none"] = _read_by(
        "folder",
        "none",
        "the value `folder` makes the sub-folder of the identity its label, such as `red mug`.",
    )
    config: str | None = _read_by(
        "hf", None, "the configuration (subset) of a data set that has several."
    )
    revision: str | None = _read_by(
        "hf, webdataset, subjects200k", None, "commit, tag or branch on the hub."
    )
    split: str = _read_by("hf, webdataset, subjects200k", "train", "the split to read.")
    image_column: str = _read_by(
        "hf, webdataset", "image", "the column of the photo; of a tar, the ending of its file."
    )
    identity_column: str | None = _read_by(
        "hf, webdataset", None, "the column or field that names the subject."
    )
    label_column: str | None = _read_by(
        "hf, webdataset", None, "the column or field with the noun of the main object."
    )
    caption_column: str | None = _read_by(
        "hf, webdataset", None, "the column or field with a true caption, such as `texts.en`."
    )
    objects_column: str | None = _read_by(
        "hf, webdataset", None, "the column of objects, each with `bbox` and `category`."
    )
    box_format: Literal["xywh", "xyxy"] = _read_by(
        "hf, webdataset", "xywh", "what the four numbers of a `bbox` are, in pixels."
    )
    min_quality: int = _read_by(
        "subjects200k", 5, "lowest accepted value of its three grades.", ge=0, le=5
    )
    licence: str | None = Field(None, description="Licence of all photos of this source.")
    count: int = _read_by("sample", 400, "photos to generate.", ge=1)
    identities: int = _read_by("sample", 60, "how many identities appear in them.", ge=2)
    look_alikes: float = _read_by(
        "sample",
        0.5,
        "how likely an identity brings another one that differs from it in one attribute.",
        ge=0,
        le=1,
        exclude_if=lambda value: value == 0.5,  # a later release added it, see `added`
    )
    size: int = _read_by("sample", 168, "side of a photo in pixels.", ge=56)
    seed: int = _read_by("sample", 0, "seed of the generated world.")

    @field_validator("name")
    @classmethod
    def _is_a_word(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("write a letter, then letters, digits, - and _")
        return name

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if not plugins.has("sources", kind):
            known = nearest(kind, plugins.names("sources"), "`repic sources` lists them")
            raise ValueError(f"there is no such kind of source{known}")
        return kind

    @field_validator("identity")
    @classmethod
    def _has_a_level(cls, identity: str) -> str:
        if not _IDENTITY.fullmatch(identity):
            raise ValueError(
                "write folder, folder:LEVEL (1 is the first below the root, -1 that of the photo), "
                "annotation, object, album, shot or none"
            )
        return identity

    @model_validator(mode="after")
    def _fits_the_kind(self) -> SourceSettings:
        if (kind := only_kind(self.identity, self.kind)) != self.kind:
            raise ValueError(f"identity {self.identity} is for a source of kind {kind}")
        for name in sorted(unread_by(self.kind)):
            if getattr(self, name) != type(self).model_fields[name].get_default():
                raise ValueError(self._unread(name, readers_of(name)))
        for name in self.given:
            if name != self.kind:
                raise ValueError(self._unread(name, [name]))
        return self

    def _unread(self, name: str, kinds: list[str]) -> str:
        return (
            f"{name} is for sources of kind {', '.join(kinds)}; one of kind {self.kind} does not "
            f"read it: leave it out, or set it for one source, as sources.NAME.{name}"
        )

    @property
    def identity_from(self) -> str:
        """`identity` without a level, such as folder or annotation."""
        return self.identity.partition(":")[0]

    def with_level(self, level: str) -> SourceSettings:
        """The same settings with the level `folder:LEVEL` where a folder's level is to be found."""
        if (self.kind, self.identity) != ("folder", "folder"):
            return self
        return self.model_copy(update={"identity": level})

    @property
    def of_owner(self) -> bool:
        """Whether its boxes and labels are the owner's words, which go before all models."""
        return kind_of(self.kind).of_owner

    def require_path(self) -> None:
        """Raises: ConfigError: a source that needs a path has none."""
        if not self.path and not kind_of(self.kind).generates:
            raise ConfigError(
                f"a source of kind {self.kind} needs a path (source.path, --source, or --images)"
            )


def only_kind(identity: str, kind: str) -> str:
    """The one kind that has identities of a form; any kind for others."""
    only = {"shot": "video", "album": "library"}
    return "folder" if ":" in identity else only.get(identity, kind)


def readers_of(name: str) -> list[str]:
    """The kinds of sources that read a setting of `SourceSettings`; empty if all do."""
    extra = SourceSettings.model_fields[name].json_schema_extra
    kinds = extra.get("kinds") if isinstance(extra, dict) else None
    return [str(kind) for kind in kinds] if isinstance(kinds, list) else []


def unread_by(kind: str) -> set[str]:
    """The settings that only sources of other kinds read."""
    readers = {name: readers_of(name) for name in SourceSettings.model_fields}
    return {name for name, kinds in readers.items() if kinds and kind not in kinds}
