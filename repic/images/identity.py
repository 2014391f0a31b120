"""Ids of pictures: content decides, so a file that was replaced is not the same photo."""

from __future__ import annotations

import hashlib

from repic.images import uris
from repic.images.fetch import ImageRefused, read_bytes
from storage.hashing import ID_DIGITS, fingerprint


def image_id_of(sha256: str, region: uris.Region | None) -> str:
    """Id of a picture: hash of its file, and of the region if the picture is a part of the file."""
    return fingerprint([sha256, str(region)]) if region else sha256[:ID_DIGITS]


def read_identified(uri: str, image_id: str) -> bytes:
    """All bytes of the file at a URI, if its picture has this id.

    Raises:
        ImageRefused, ValueError, OSError: as `repic.images.fetch.read_bytes`; also if there is
            another picture.
    """
    data = read_bytes(uri)
    region = uris.Location.parse(uri).region
    if image_id_of(hashlib.sha256(data).hexdigest(), region) != image_id:
        raise ImageRefused("changed", "the file has changed since the build")
    return data
