"""The settings of a source of photos, and the kinds of sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from repic.config.build import DetectorSettings, Objective
from repic.config.section import Section, nearest
from repic.errors import ConfigError

_IDENTITY = re.compile(r"folder(:(named|-?[1-9][0-9]{0,2}))?|annotation|album|shot|none")
_NAME = re.compile(r"[^\W\d][\w-]*")
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
    "voc": SourceKind("repic.sources.voc", _BOXES),
    "yolo": SourceKind("repic.sources.yolo", _BOXES),
    "repic": SourceKind("repic.sources.repic_records"),
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
        description="Where identities come from: the source's annotation, the shot of a video, the "
        "album of a library, none, or folder: the sub-folder; folder:LEVEL is the one at a level, "
        "1 the first below `path`, -1 that of the photo.",
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
        None, description="hf, webdataset, subjects200k: commit, tag or branch on the hub."
    )
    split: str = Field("train", description="hf, webdataset, subjects200k: the split to read.")
    image_column: str = Field(
        "image", description="hf: the column of the photo; webdataset: its ending."
    )
    identity_column: str | None = Field(
        None, description="hf, webdataset: the column or field that names the subject."
    )
    label_column: str | None = Field(
        None, description="hf, webdataset: the column or field with the noun of the main object."
    )
    caption_column: str | None = Field(
        None, description="hf, webdataset: the column or field with a true caption, as `texts.en`."
    )
    objects_column: str | None = Field(
        None, description="hf, webdataset: the column of objects, each with `bbox` and `category`."
    )
    box_format: Literal["xywh", "xyxy"] = Field(
        "xywh", description="hf, webdataset: what the four numbers of a `bbox` are, in pixels."
    )
    min_quality: int = Field(
        5, ge=0, le=5, description="subjects200k: lowest accepted value of its three grades."
    )
    licence: str | None = Field(None, description="Licence of all photos of this source.")
    count: int = Field(400, ge=1, description="sample: photos to generate.")
    identities: int = Field(60, ge=2, description="sample: how many identities appear in them.")
    size: int = Field(168, ge=56, description="sample: side of a photo in pixels.")
    seed: int = Field(0, description="sample: seed of the generated world.")

    @field_validator("name")
    @classmethod
    def _is_a_word(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("write a letter, then letters, digits, - and _")
        return name

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            known = nearest(kind, list(KINDS), "`repic sources` lists them")
            raise ValueError(f"there is no such kind of source{known}")
        return kind

    @field_validator("identity")
    @classmethod
    def _has_a_level(cls, identity: str) -> str:
        if not _IDENTITY.fullmatch(identity):
            raise ValueError(
                "write folder, folder:LEVEL (1 is the first below the root, -1 that of the photo), "
                "annotation, album, shot or none"
            )
        return identity

    @model_validator(mode="after")
    def _fits_the_kind(self) -> SourceSettings:
        if (kind := only_kind(self.identity, self.kind)) != self.kind:
            raise ValueError(f"identity {self.identity} is for a source of kind {kind}")
        return self

    @property
    def identity_from(self) -> str:
        """`identity` without a level: folder, annotation, album, shot or none."""
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


def only_kind(identity: str, kind: str) -> str:
    """The one kind that has identities of a form; any kind for others."""
    only = {"shot": "video", "album": "library"}
    return "folder" if ":" in identity else only.get(identity, kind)
