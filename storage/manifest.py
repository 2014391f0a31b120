"""Data models of a version: its content, its origin, and references to it."""

from __future__ import annotations

import base64
import getpass
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import AfterValidator, Field, model_validator

from storage.documents import Frozen, Sealed
from storage.errors import StoreError
from storage.hashing import combine
from storage.hashing import fingerprint as hash_of

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SHARD = re.compile(
    r"(?:shards/[a-z0-9_-]+|parts/[a-z0-9_-]+/[0-9A-Za-z]+)/([0-9a-f]{64})\.parquet"
)
_FILE = re.compile(r"files/([0-9a-f]{64})(?:\.[^/]*)?")
RESERVED = {"artifacts", "lineage", "shards", "snapshot"}
"""Names that the catalog uses for tables of its own."""

Kind = Literal["table", "dataset", "checkpoint", "report"]

MAX_VERSION = 10**15
"""Far above any number of versions, and small enough for every integer type."""


def check_inside(path: str) -> str:
    """Check that a path, with /, stays inside the folder that it is relative to; returns it.

    Raises:
        ValueError: it is absolute, has `..` or an empty part, or no file system could hold it.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is no relative path without `.`, `..` and empty parts")
    if re.search(r"[\\\x00-\x1f\x7f]", path) or re.match(r"[A-Za-z]:", path):
        raise ValueError(f"{path!r} has a backslash, a control character or a drive letter")
    if any(len(part.encode()) > 255 for part in parts):
        raise ValueError(f"{path[:50]!r}... has a part of more than 255 bytes")
    return path


def _named(name: str) -> str:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(f"{name[:70]!r} cannot name an artifact")
    return name


def _canonical(value: dict[str, Any]) -> dict[str, Any]:
    hash_of(value)
    return value


Name = Annotated[str, AfterValidator(_named)]
Version = Annotated[int, Field(ge=1, lt=MAX_VERSION)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Of the file, hex.")]
Content = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Path = Annotated[str, AfterValidator(check_inside), Field(description="Relative to the store.")]
Details = Annotated[dict[str, Any], AfterValidator(_canonical)]


@dataclass(frozen=True)
class ArtifactRef:
    """Reference `name@v3`, `name@latest` or `name@<tag>`; a bare `name` means `name@latest`."""

    name: str
    selector: str = "latest"

    @classmethod
    def parse(cls, text: str) -> ArtifactRef:
        """Parse a reference. Raises: StoreError."""
        name, at, selector = text.partition("@")
        if not NAME.fullmatch(name) or (at and not re.fullmatch(r"[\w.-]+", selector)):
            raise StoreError(
                f"{text!r} is not an artifact: write name@v3, name@latest or name@tag, "
                "names in lower case."
            )
        return cls(name, selector or "latest")

    @classmethod
    def exact(cls, name: str, version: int) -> ArtifactRef:
        """The reference `name@v<version>`."""
        return cls(name, f"v{version}")

    @property
    def version(self) -> int | None:
        """The version number of an exact reference, else None."""
        match = re.fullmatch(r"v([1-9][0-9]{0,14})", self.selector)
        return int(match[1]) if match else None

    def __str__(self) -> str:
        return f"{self.name}@{self.selector}"


class Shard(Frozen):
    """One immutable Parquet file of a table."""

    path: Path
    sha256: Sha256
    bytes: Count
    rows: Count
    content: Content = Field(description="Order-independent hash of its rows.")

    @model_validator(mode="after")
    def _is_in_its_place(self) -> Self:
        match = _SHARD.fullmatch(self.path)
        if not match or match[1] != self.sha256:
            raise ValueError(f"{self.path!r} is not the path of a shard with this sha256")
        return self


class File(Frozen):
    """One immutable file of an artifact that is not a table."""

    name: Annotated[str, AfterValidator(check_inside)] = Field(
        description="Path inside the artifact, with /."
    )
    path: Path
    sha256: Sha256
    bytes: Count

    @model_validator(mode="after")
    def _is_in_its_place(self) -> Self:
        match = _FILE.fullmatch(self.path)
        if not match or match[1] != self.sha256:
            raise ValueError(f"{self.path!r} is not the path of a file with this sha256")
        return self


class ColumnInfo(Frozen):
    """Readable description of a column; `Manifest.arrow_schema` has the exact type."""

    name: str
    type: str
    nullable: bool
    doc: str | None = None


class Input(Frozen):
    """An input of a version: an exact version of another artifact."""

    name: Name
    version: Version
    fingerprint: str

    @property
    def ref(self) -> ArtifactRef:
        return ArtifactRef.exact(self.name, self.version)


class Run(Frozen):
    """User, host and flow run that created a version."""

    user: str
    host: str
    flow_run: str | None = None

    @classmethod
    def here(cls, flow_run: str | None = None) -> Run:
        """The current user and host."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user id without a name
            user = "unknown"
        return cls(user=user, host=socket.gethostname(), flow_run=flow_run)


class Origin(Frozen):
    """Origin of a version. Versions with the same `fingerprint` are the same version."""

    fingerprint: str = Field(description="Hash of everything that determines its content.")
    inputs: tuple[Input, ...] = ()
    settings: dict[str, Any] = Field(default={}, description="Of the stage, as JSON.")
    models: Details = Field(default={}, description="Model name -> fingerprint, details.")
    sources: Details = Field(default={}, description="Source name -> location, counts.")
    notes: dict[str, Any] = Field(default={}, description="Counts and reasons, for the user.")
    code_version: str = ""
    run: Run = Field(default_factory=Run.here)


class Manifest(Origin, Sealed):
    """One version of one artifact: everything about it, and where its bytes are."""

    name: Name
    version: Version
    kind: Kind
    content: Content = Field(
        description="Hash of its rows in any order, of its files, or its tables."
    )
    rows: Count = Field(description="Of a table; of all bound tables; 0 for files.")
    key: tuple[str, ...] = Field(default=(), description="Columns that identify a row.")
    columns: tuple[ColumnInfo, ...] = ()
    arrow_schema: str = Field(default="", description="Arrow IPC schema message, base64.")
    shards: tuple[Shard, ...] = ()
    files: tuple[File, ...] = ()
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _files_have_distinct_places(self) -> Self:
        names = {file.name for file in self.files}
        folders = {str(up) for name in names for up in PurePosixPath(name).parents}
        if len(names) < len(self.files) or names & folders:
            raise ValueError("two files have one name, or a file has the name of a folder")
        return self

    @model_validator(mode="after")
    def _table_has_its_schema(self) -> Self:
        if self.kind == "table":
            try:
                names = self.schema_arrow.names
            except (ValueError, OSError, pa.ArrowException) as error:
                raise ValueError(f"arrow_schema cannot be read: {error}") from error
            if names != [column.name for column in self.columns] or set(self.key) - set(names):
                raise ValueError("arrow_schema, columns and key do not fit together")
        return self

    @property
    def ref(self) -> ArtifactRef:
        return ArtifactRef.exact(self.name, self.version)

    @property
    def schema_arrow(self) -> pa.Schema:
        """The exact schema of a table, each field with its `doc`."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.arrow_schema)))

    @property
    def stored(self) -> tuple[Shard | File, ...]:
        """All files on disk."""
        return self.shards + self.files

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.stored)

    def as_input(self) -> Input:
        """This version as an input of another one."""
        return Input(name=self.name, version=self.version, fingerprint=self.fingerprint)


def content_of(kind: Kind, parts: Iterable[Any]) -> str:
    """The content hash of a version.

    Args:
        parts: The shards of a table, the manifests that a dataset binds, or the files.
    """
    if kind == "table":
        return combine(shard.content for shard in parts)
    if kind == "dataset":
        return hash_of(sorted([table.name, table.content] for table in parts))
    return hash_of([[file.name, file.sha256] for file in parts])


def describe_schema(schema: pa.Schema) -> dict[str, Any]:
    """The two schema fields of a manifest: readable `columns` and exact `arrow_schema`."""
    columns = []
    for field in schema:
        doc = (field.metadata or {}).get(b"doc")
        columns.append(
            ColumnInfo(
                name=field.name,
                type=str(field.type),
                nullable=field.nullable,
                doc=doc.decode() if doc else None,
            )
        )
    text = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return {"columns": tuple(columns), "arrow_schema": text}


def check_name(name: str) -> None:
    """Check the name of an artifact. Raises: StoreError."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise StoreError(
            f"{name!r} cannot name an artifact: use lower-case letters, digits, _ and -, "
            f"starting with a letter, and none of {', '.join(sorted(RESERVED))}."
        )
