"""Data models of a version: its content, its origin, and references to it."""

from __future__ import annotations

import base64
import getpass
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from storage.errors import StoreError

FORMAT_VERSION = 1
"""Format of the store and of manifests. Readers support all older formats, but no newer ones."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
RESERVED = {"artifacts", "lineage", "shards"}
"""Names that the catalog uses for tables of its own."""

Kind = Literal["table", "dataset", "checkpoint", "report"]


class Frozen(BaseModel):
    """Base of immutable models that reject unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        match = re.fullmatch(r"v([1-9][0-9]*)", self.selector)
        return int(match[1]) if match else None

    def __str__(self) -> str:
        return f"{self.name}@{self.selector}"


class Shard(Frozen):
    """One immutable Parquet file of a table."""

    path: str = Field(description="Relative to the store.")
    sha256: str = Field(description="Of the file, hex.")
    bytes: int
    rows: int
    content: str = Field(description="Order-independent hash of its rows.")


class File(Frozen):
    """One immutable file of an artifact that is not a table."""

    name: str = Field(description="Path inside the artifact, with /.")
    path: str = Field(description="Relative to the store.")
    sha256: str = Field(description="Of the file, hex.")
    bytes: int


class ColumnInfo(Frozen):
    """Readable description of a column; `Manifest.arrow_schema` has the exact type."""

    name: str
    type: str
    nullable: bool
    doc: str | None = None


class Input(Frozen):
    """An input of a version: an exact version of another artifact."""

    name: str
    version: int
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
    models: dict[str, Any] = Field(default={}, description="Model name -> fingerprint, details.")
    sources: dict[str, Any] = Field(default={}, description="Source name -> location, counts.")
    notes: dict[str, Any] = Field(default={}, description="Counts and reasons, for the user.")
    code_version: str = ""
    run: Run = Field(default_factory=Run.here)


class Manifest(Origin):
    """One version of one artifact: everything about it, and where its bytes are."""

    format_version: int = FORMAT_VERSION
    name: str
    version: int
    kind: Kind
    content: str = Field(description="Hash of its rows in any order, of its files, or its tables.")
    rows: int = Field(description="Of a table; of all bound tables; 0 for files.")
    key: tuple[str, ...] = Field(default=(), description="Columns that identify a row.")
    columns: tuple[ColumnInfo, ...] = ()
    arrow_schema: str = Field(default="", description="Arrow IPC schema message, base64.")
    shards: tuple[Shard, ...] = ()
    files: tuple[File, ...] = ()
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

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


def check_format(version: int, what: str) -> None:
    """Raises: StoreError: `what` has a newer format than this code supports."""
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{what} has format {version}, and this program reads up to {FORMAT_VERSION}: "
            "install a newer version."
        )
