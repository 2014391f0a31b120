"""What a file demands of its decoder beyond the size in its header, checked before it is decoded.

A decoder trusts some fields of a file: the picture inside of an icon, the number of scans, the
length of metadata. A few hundred bytes can so demand gigabytes or minutes. Every limit here is far
above what cameras and programs write.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

from PIL import BmpImagePlugin, IcoImagePlugin, Image, PngImagePlugin

from repic.images.refusal import ImageRefused

MAX_SCANS = 100
"""Maximum scans of a progressive JPEG, each of which passes over all pixels; usual are 10."""
MAX_SEGMENTS = 10_000
"""Maximum segments of a JPEG; the longest ones fill 650 MB."""
MAX_EXIF = 16 << 20
"""Maximum bytes of all segments with tags of a JPEG; usual is one segment, of at most 64 KiB."""
MAX_CHUNKS = 100_000
"""Maximum chunks of a PNG, in addition to one per KiB."""
MAX_STRIPS = 1_000_000
"""Maximum strips or tiles of a TIFF: tiles of 16 x 16 pixels are fewer in the largest picture."""
METADATA_FACTOR = 4
"""Maximum bytes that the tags of a TIFF or EXIF block refer to, as a multiple of its length."""
MAX_TAGS = 100_000
"""Maximum tags of all such blocks of a file together; usual are 100."""

UNPREDICTABLE = frozenset({"AVIF", "HEIF", "JPEG2000", "JXL"})
"""Formats whose decoders may need more memory than the size in the header tells: decode alone."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_ANYWHERE = re.compile(b"|".join(re.escape(signature) for signature in _TIFF))
_BLOCKS = ((b"\xe1", b"Exif\0\0"), (b"\xe2", b"MPF\0"))
"""Segments of a JPEG with tags: marker and first bytes."""
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_STRIPS = {273, 279, 324, 325}
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check(data: bytes, announced: str) -> None:
    """Check the structure of a file of the format `announced`.

    Raises:
        ImageRefused: it would cost far more than its pixels.
    """
    if announced == "JPEG":
        scans, blocks = _jpeg(data)
        if scans > MAX_SCANS:
            raise ImageRefused("corrupt", f"it has more than {MAX_SCANS} scans")
        _check_tags(blocks)
        return
    if announced == "PNG" and _has_too_many_chunks(data):
        raise ImageRefused("corrupt", "it consists of very many tiny chunks")
    _check_tags([data] if announced == "TIFF" else _blocks_inside(data))


def size_inside(data: bytes, announced: str) -> tuple[int, int] | None:
    """Width and height of the picture in an icon, which its header need not tell; otherwise None.

    Raises:
        Exception: any, if the icon is broken.
    """
    if announced != "ICO":
        return None
    file = io.BytesIO(data)
    offset = IcoImagePlugin.IcoFile(file).entry[0].offset
    file.seek(offset)
    is_png = file.read(8) == PngImagePlugin._MAGIC
    file.seek(offset)
    inside = PngImagePlugin.PngImageFile if is_png else BmpImagePlugin.DibImageFile
    return inside(file).size


def tile_size(file: Image.Image) -> tuple[int, int]:
    """Width and height of the tiles of an open TIFF; (1, 1) if it has none.

    Raises:
        Exception: any, if a tag is malformed.
    """
    tags = getattr(file, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 1)), int(tags.get(_TILE_LENGTH, 1))


def has_heavy_exif(file: Image.Image) -> bool:
    """Whether the EXIF block of an open picture is a bomb; `check` cannot see compressed ones."""
    block = file.info.get("exif") or b""
    if raw := file.info.get("Raw profile type exif"):
        block = bytes.fromhex("".join(str(raw).split("\n")[3:]))
    try:
        _check_tags([block.removeprefix(b"Exif\0\0")])
    except ImageRefused:
        return True
    return False


def _jpeg(data: bytes) -> tuple[int, list[bytes]]:
    """Number of scans (at most one above the limit), and the joined segments with tags.

    Raises:
        ImageRefused: it has very many segments, or very long ones with tags.
    """
    scans, at, segments = 0, 2, 0
    blocks: list[list[bytes]] = [[] for _ in _BLOCKS]
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, at)):
        start = marker.end()
        if marker[1] == b"\xd9":
            break
        scans += marker[1] == b"\xda"
        segments += 1
        if segments > MAX_SEGMENTS:
            raise ImageRefused("corrupt", f"it has more than {MAX_SEGMENTS:,} segments")
        at = start + int.from_bytes(data[start : start + 2], "big")
        for parts, (code, name) in zip(blocks, _BLOCKS, strict=True):
            if marker[1] == code and data.startswith(name, start + 2):
                parts.append(data[start + 2 + len(name) : at])
    joined = [b"".join(parts) for parts in blocks]
    if max(map(len, joined)) > MAX_EXIF:
        raise ImageRefused("corrupt", f"its metadata has more than {MAX_EXIF:,} bytes")
    return scans, joined


def _blocks_inside(data: bytes) -> Iterator[memoryview]:
    """What may be a block of tags in a file of any format, from its signature on."""
    for match in _TIFF_ANYWHERE.finditer(data):
        yield memoryview(data)[match.start() :]


def _has_too_many_chunks(data: bytes) -> bool:
    at, rest = 8, MAX_CHUNKS + len(data) // 1024
    while at < len(data) and rest:
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        rest -= 1
    return not rest


def _check_tags(blocks: Iterable[bytes | memoryview]) -> None:
    """Refuse blocks of tags (a TIFF, or EXIF) with very many tags, or that refer to bytes twice."""
    steps = 0  # a block without tags is one too
    for given in blocks:
        block = memoryview(given)
        referred, steps = 0, steps + 1
        for tag, count, size, offset in _tags(block):
            steps += 1
            if steps > MAX_TAGS:
                break
            if tag in _STRIPS and count > MAX_STRIPS:
                raise ImageRefused("corrupt", f"it has more than {MAX_STRIPS:,} strips or tiles")
            referred += min(count * size, max(0, len(block) - offset))
        if steps > MAX_TAGS:
            raise ImageRefused("corrupt", f"its metadata has more than {MAX_TAGS:,} tags")
        if referred > METADATA_FACTOR * len(block) + 65_536:
            raise ImageRefused("corrupt", f"its metadata expands to {referred:,} bytes")


def _tags(block: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Tag, count, bytes per value and offset of each entry of the first directory, if any."""
    if bytes(block[:4]) not in _TIFF:
        return
    order = "little" if block[:1] == b"I" else "big"
    is_big = 43 in block[2:4]
    wide, first, step, header = (8, 8, 20, 8) if is_big else (4, 4, 12, 2)

    def number(at: int, width: int) -> int:
        return int.from_bytes(block[at : at + width], order)  # type: ignore[arg-type]

    at = number(first, wide)
    for entry in range(at + header, at + header + step * number(at, header), step):
        if entry + step > len(block):
            return
        size = _TYPE_SIZES.get(number(entry + 2, 2), 8)
        count = number(entry + 4, wide)
        yield number(entry, 2), count, size, number(entry + 4 + wide, wide)
