"""Formats of photos: told by their first bytes, and whether their decoder is installed.

Only formats with a signature are known, and none whose decoder runs a program, such as EPS. MPO
counts as JPEG, with which it begins.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

from PIL import Image, features

from repic.images.refusal import ImageRefused

HEAD_BYTES = 64
"""Bytes of a file that `sniff` needs."""

# Formats that need a plugin for Pillow: its module, and what pip installs.
_PLUGINS = {
    "AVIF": ("pillow_avif", "pillow-avif-plugin"),
    "HEIF": ("pillow_heif.HeifImagePlugin", "'repic[heic]'"),
    "JXL": ("pillow_jxl", "pillow-jxl-plugin"),
}
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\0\0\1\0", "ICO"),
)
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIF": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
}
_ANY_CODEC = {b"mif1", b"msf1"}
"""Brands of pictures and sequences in any codec (ISO/IEC 23008-12, section 10)."""


def sniff(head: bytes) -> str | None:
    """Image format by the first `HEAD_BYTES` of a file, by its name in Pillow, or None."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = _brands(head)
        return next((name for name, its_brands in _BRANDS.items() if its_brands & brands), None)
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    return None


def _brands(head: bytes) -> set[bytes]:
    """The major brand of a file; if it allows any codec, also the compatible brands."""
    major = head[8:12]
    if major not in _ANY_CODEC:
        return {major}
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {major, *(head[at : at + 4] for at in range(16, end, 4))}


def require_decoder(data: bytes) -> None:
    """Check that the decoder of a picture is installed, without decoding it.

    Raises:
        ImageRefused: `unsupported`: a package is missing.
    """
    if announced := sniff(data[:HEAD_BYTES]):
        load_decoder(announced)


def load_decoder(name: str) -> None:
    """Load the decoder of a format, which may be a plugin of Pillow.

    Raises:
        ImageRefused: `unsupported`: its package is missing.
    """
    Image.init()
    if name not in _PLUGINS or _can_read(name):
        return
    module, package = _PLUGINS[name]
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
    if not _can_read(name):
        raise ImageRefused("unsupported", f"it is {name}; `pip install {package}` to read it")


def _can_read(name: str) -> bool:
    """Whether a decoder is installed; Pillow lists AVIF even if it was built without one."""
    built = name != "AVIF" or sys.modules.get(_PLUGINS[name][0]) or features.check("avif")
    return bool(built) and name in Image.OPEN
