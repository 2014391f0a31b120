"""URIs of pictures: a URL, whose fragment selects a part of the file.

    file:///photos/my%20dog.jpg                        a file; `repic.images.fetch` has the schemes
    file:///photos/two.jpg#xywh=0,0,512,512            a region, in pixels of the upright picture
    s3://bucket/train.parquet#row=17&column=image      a picture inside a Parquet or Arrow file
    ...#row=17&column=image&xywh=percent:50,0,50,100   a region of it, in percent of its sides
    file:///d/00000.tar#member=7.jpg&offset=512&size=9 a file inside a tar: where its bytes are
    file:///videos/cat.mp4#pts=12800                   a frame of a video, by its time stamp

Regions follow Media Fragments URI 1.0 (W3C 2012, section 4.2.2). Paths are percent-encoded byte by
byte, so names with spaces, `#`, `%` or invalid UTF-8 become plain ASCII. URLs of http and https are
not changed.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlencode

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://")
_KEYS = ("row", "column", "member", "offset", "size", "pts", "xywh")
_GROUPS = (("row", "column"), ("member", "offset", "size"))
"""Keys of fragments, and those of them that come together."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the upright picture; `unit` is `pixel`, or `percent` of its sides."""

    x: float
    y: float
    w: float
    h: float
    unit: Literal["pixel", "percent"] = "pixel"

    def __str__(self) -> str:
        numbers = ",".join(f"{n:.12g}" for n in (self.x, self.y, self.w, self.h))
        return f"percent:{numbers}" if self.unit == "percent" else numbers

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Integer xyxy within a picture of this size; empty if the region is outside of it."""
        sx, sy = (width / 100, height / 100) if self.unit == "percent" else (1.0, 1.0)
        x1, x2 = (min(max(round(x * sx), 0), width) for x in (self.x, self.x + self.w))
        y1, y2 = (min(max(round(y * sy), 0), height) for y in (self.y, self.y + self.h))
        return x1, y1, x2, y2

    @classmethod
    def parse(cls, text: str) -> Region:
        """The region `x,y,w,h`, `pixel:x,y,w,h` or `percent:x,y,w,h`.

        Raises:
            ValueError: not four finite numbers, a negative corner, or an empty area.
        """
        unit, _, numbers = text.rpartition(":")
        try:
            x, y, w, h = (float(n) for n in numbers.split(","))
        except ValueError:
            raise ValueError(f"xywh wants four numbers x,y,w,h, got {text!r}") from None
        if not all(map(math.isfinite, (x, y, w, h))) or min(x, y) < 0 or min(w, h) <= 0:
            raise ValueError(f"xywh wants a corner inside the picture and an area, got {text!r}")
        match unit:
            case "" | "pixel":
                return cls(x, y, w, h)
            case "percent":
                return cls(x, y, w, h, "percent")
        raise ValueError(f"xywh is in pixel or percent, got {text!r}")


class Member(NamedTuple):
    """A file inside a tar: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Location:
    """A parsed URI.

    Attributes:
        url: The URI without its fragment.
        row: Row of a table file, from 0; None for other files.
        column: Column of that row.
        region: Part of the picture; None for the full picture.
        member: File inside of a tar; None for other files.
        pts: Presentation time stamp of a frame, in units of its track; None for other files.
    """

    url: str
    row: int | None = None
    column: str | None = None
    region: Region | None = None
    member: Member | None = None
    pts: int | None = None

    @property
    def position(self) -> int:
        """Place of the picture in its file, for sorting; -1 if it is the file."""
        if self.member is not None:
            return self.member.offset
        place = self.pts if self.row is None else self.row
        return -1 if place is None else place

    def __str__(self) -> str:
        parts: dict[str, str] = {}
        if self.row is not None:
            parts |= {"row": str(self.row), "column": self.column or "image"}
        if self.member is not None:
            name, offset, size = self.member
            parts |= {"member": name, "offset": str(offset), "size": str(size)}
        if self.pts is not None:
            parts["pts"] = str(self.pts)
        if self.region is not None:
            parts["xywh"] = str(self.region)
        return f"{self.url}#{urlencode(parts, safe=',:', quote_via=quote)}" if parts else self.url

    @classmethod
    def parse(cls, uri: str) -> Location:
        """Parse a URI.

        Raises:
            ValueError: not a URL, or an unknown form of fragment.

        >>> Location.parse("s3://bucket/a.parquet#row=17&column=image").row
        17
        """
        url, _, fragment = uri.partition("#")
        if not _SCHEME.match(url):
            raise ValueError(
                f"{uri!r} is not a URL; write a local path as repic.images.uris.file_uri(path)"
            )
        parts = dict(parse_qsl(fragment, keep_blank_values=True)) if fragment else {}
        if (fragment and not parts) or parts.keys() - set(_KEYS):
            raise ValueError(f"#{fragment} is not understood; known are {', '.join(_KEYS)}")
        for group in _GROUPS:
            if 0 < sum(key in parts for key in group) < len(group):
                raise ValueError(f"#{fragment}: {' and '.join(group)} come together")
        if len(places := [key for key in ("row", "member", "pts") if key in parts]) > 1:
            raise ValueError(f"#{fragment}: one place of {' and '.join(places)}, not several")
        keys = ("row", "offset", "size", "pts")
        row, offset, size, pts = (_count(parts.get(key), key) for key in keys)
        member = None
        if offset is not None and size is not None:
            member = Member(parts["member"], offset, size)
        region = Region.parse(parts["xywh"]) if "xywh" in parts else None
        return cls(url, row, parts.get("column"), region, member, pts)


def _count(text: str | None, key: str) -> int | None:
    """Raises: ValueError: the value of a key is not a number from 0."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"#{key}={text[:50]}: {key} counts from 0")
    return int(text)


def file_uri(path: str | os.PathLike[str]) -> str:
    """`file://` URI of the absolute form of a local path; symbolic links are not resolved."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)))


def file_path(url: str) -> str:
    """Local path of a `file://` URL, for Python's file functions.

    Raises:
        ValueError: not a `file://` URL.
    """
    if not url.startswith("file://"):
        raise ValueError(f"{url} is not a file:// URL")
    path = url.partition("#")[0].removeprefix("file://").removeprefix("localhost")
    return os.fsdecode(unquote_to_bytes(path))


def is_url(path: str) -> bool:
    """Whether a setting names a URL rather than a local path."""
    return bool(_SCHEME.match(path))


def to_uri(path: str) -> str:
    """URI of user input: a local path (`~` is expanded) or a URL, which is not changed."""
    return path if is_url(path) else file_uri(os.path.expanduser(path))


def remote_uri(path: str) -> str:
    """URI of a full remote path from fsspec's `unstrip_protocol`, with `%` and `#` escaped."""
    if path.startswith(("http://", "https://")):
        return path
    return path.replace("%", "%25").replace("#", "%23")


def remote_path(url: str) -> str:
    """Path of a remote URL for fsspec; the inverse of `remote_uri`."""
    return url if url.startswith(("http://", "https://")) else unquote(url)


def fsspec_path(url: str) -> str:
    """What fsspec opens for a URI, local or remote."""
    return file_path(url) if url.startswith("file://") else remote_path(url)


def join(folder: str, name: str) -> str:
    """URI of a file, from the URI of a folder and a path relative to it.

    Raises:
        ValueError: the name cannot be encoded as bytes, so no such file can exist.
    """
    if folder.startswith("file://"):
        return file_uri(os.path.join(file_path(folder), name))
    name.encode()  # raises for lone surrogates, which no URL can contain
    return f"{folder.rstrip('/')}/{remote_uri(name)}"
