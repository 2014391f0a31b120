"""Pictures that people give: limited, decoded as those of a source are, and never on a disk."""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass

from fastapi import Request
from PIL import Image
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from repic.errors import RepicError
from repic.images.decode import decode, read_header
from repic.images.fetch import ImageRefused

BODY = 48 << 20
"""Bytes of a request with pictures."""

PICTURE_BYTES = 16 << 20
PIXELS = 50_000_000
"""Of a picture."""

SIDE = 1280
"""Longest side of the copy that a page shows, in pixels."""

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)


class UploadRefusedError(RepicError):
    """A picture or a form that is refused; the message says why."""


@dataclass(frozen=True)
class UploadedPicture:
    """A picture that can be decoded.

    Attributes:
        data: Bytes of the file.
        width, height: Pixels of the upright picture.
        shown: A JPEG of at most `SIDE` pixels.
    """

    data: bytes
    width: int
    height: int
    shown: bytes


class _InMemory(MultiPartParser):
    spool_max_size = BODY + 1  # a larger file would go to disk


async def form_of(request: Request, most_files: int, most_fields: int) -> FormData:
    """The fields and files of a form.

    Raises:
        UploadRefusedError: the body is no such form, or has too many files or fields.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UploadRefusedError("Pictures are sent as a form of the type multipart/form-data.")
    parser = _InMemory(
        request.headers, request.stream(), max_files=most_files, max_fields=most_fields
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise UploadRefusedError(f"The form is broken: {error.message}") from None


async def file_of(form: FormData, name: str) -> bytes:
    """Bytes of a file of a form; empty if none was chosen."""
    value = form.get(name)
    return await value.read() if isinstance(value, UploadFile) else b""


def text_of(form: FormData, name: str, longest: int) -> str:
    """A text of a form on one line.

    Raises:
        UploadRefusedError: it has more than `longest` characters.
    """
    value = form.get(name)
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value or "")).split())
    if isinstance(value, UploadFile) or len(text) > longest:
        raise UploadRefusedError(f"The field {name} has a text of at most {longest} characters.")
    return text


def checked_picture(data: bytes, what: str) -> UploadedPicture:
    """A picture that passes the checks, with a small copy of it.

    Raises:
        UploadRefusedError: as `decoded`.
    """
    picture = decoded(data, what)
    size = picture.size
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return UploadedPicture(data, *size, file.getvalue())


def decoded(data: bytes, what: str) -> Image.Image:
    """A picture that passes the checks of a build, and the limits of an upload.

    Args:
        what: The picture in messages, such as `the photo`.

    Raises:
        UploadRefusedError: it is missing, too large, or cannot be decoded.
    """
    if not data:
        raise UploadRefusedError(f"Choose a file for {what}.")
    if len(data) > PICTURE_BYTES:
        raise UploadRefusedError(f"A picture has at most {PICTURE_BYTES >> 20} MB, unlike {what}.")
    try:
        width, height = read_header(data).upright
        if width * height > PIXELS:
            most = f"{PIXELS // 1_000_000} megapixels"
            raise UploadRefusedError(f"A picture has at most {most}; {what} is {width}x{height}.")
        return decode(data)
    except ImageRefused as error:
        sentence = f"{what} cannot be used: {error}."
        raise UploadRefusedError(sentence[0].upper() + sentence[1:]) from None


def data_of_url(url: str) -> bytes:
    """The bytes in a `data:` URL of a picture. Nothing is ever fetched from an address.

    Raises:
        UploadRefusedError: it is another kind of address.
    """
    head = _DATA_URL.match(url)
    if head is None:
        raise UploadRefusedError(
            "Pictures are given as data URLs, such as data:image/jpeg;base64,...: nothing is "
            "fetched from an address or read from a path"
        )
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise UploadRefusedError("A data URL holds no valid base64.") from None
