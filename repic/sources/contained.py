"""Names of photos in the files of a data set: which of them are read.

A data set may name files below its own root, whatever `..` or absolute path leads there, photos on
public servers (see `repic.images.network`), and objects of S3 and Google Cloud Storage, which are
read with the user's rights. Symbolic links are followed, also out of the root: whoever made them
could write to this machine.
"""

from __future__ import annotations

import posixpath
import re

from repic.images import uris
from repic.sources.base import RefusedPhoto, SourcePhoto

OPEN_SCHEMES = frozenset({"http", "https", "s3", "gs", "gcs"})
"""Schemes of photos that any data set may name."""

_ANY_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):")


def uri_of(folder: str, name: str) -> str:
    """URI of a name in a data set: a URL, or a path relative to a folder (a URI).

    Raises:
        ValueError: no file can have this name.
    """
    return name if uris.is_url(name) else uris.join(folder, name)


def checked(photo: SourcePhoto, root: str) -> SourcePhoto:
    """The photo, or a `RefusedPhoto` in its place if its data set may not name it.

    Args:
        root: URI of the folder below which names may lead.
    """
    why = _problem(photo.uri, root)
    return RefusedPhoto(**vars(photo), why=why) if why else photo


def _problem(uri: str, root: str) -> str | None:
    try:
        location = uris.Location.parse(uri)
    except ValueError:
        return None  # the stage that reads it reports the error
    scheme, own = (_scheme(url) for url in (location.url, root))
    if scheme in OPEN_SCHEMES and location.position < 0:
        return None
    if scheme != own or ("::" in location.url and scheme != "file"):
        return (
            f"its address is of {scheme}; a data set may name photos of http, https, s3 and gs, "
            "and files of its own folder"
        )
    if not is_below(location.url, root):
        return "it lies outside of its data set; if you trust it, set source.images to its folder"
    return None


def _scheme(url: str) -> str:
    match = _ANY_SCHEME.match(url)
    return match[1].lower() if match else ""


def is_below(url: str, root: str) -> bool:
    """Whether a URL is a folder, or leads to something in it."""
    path, folder = (posixpath.normpath(uris.fsspec_path(part)) for part in (url, root))
    return folder in ("/", path) or path.startswith(folder + "/")
