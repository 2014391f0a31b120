"""Hostile pictures: bombs of many kinds, and mutations of good files; for tests in fresh processes.

Every file of `BOMBS` is small and asks its decoder for gigabytes or minutes, or lies about itself.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

from PIL import Image

from repic.images import decode
from repic.images.refusal import ImageRefused
from tests.odd_images import encode, picture

SEEDS = ("JPEG", "PNG", "WEBP", "GIF", "ICO")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    *chunks: bytes, size: tuple[int, int] = (64, 64), depth: int = 8, colours: int = 2
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def pixels(width: int = 64, height: int = 64, channels: int = 3) -> bytes:
    rows = zlib.compressobj(9)
    row = bytes(1 + width * channels)
    return b"".join([*(rows.compress(row) for _ in range(height)), rows.flush()])


IDAT = chunk(b"IDAT", pixels())


def png_of(width: int, height: int) -> bytes:
    return png(chunk(b"IDAT", pixels(width, height, 1)), size=(width, height), colours=0)


def ico(*insides: bytes, size: int = 16) -> bytes:
    head, at = struct.pack("<HHH", 0, 1, len(insides)), 6 + 16 * len(insides)
    for inside in insides:
        head += struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(inside), at)
        at += len(inside)
    return head + b"".join(insides)


def dib(width: int, height: int, bits: int = 32, compression: int = 0) -> bytes:
    return struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, body: bytes = b"") -> bytes:
    head = dib(width, height, bits, compression)
    palette = bytes(1024) if bits == 8 else b""
    offset = 14 + len(head) + len(palette)
    size = offset + len(body)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, offset) + head + palette + body


def tiff(entries: list[tuple[int, int, int, int]], body: bytes = b"") -> bytes:
    """A TIFF with one directory of (tag, type, count, value); body starts at `8 + size of it`."""
    packed = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value))
        for tag, kind, count, value in entries
    )
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + packed + bytes(4) + body


def tiff_picture(width: int, height: int, *more: tuple[int, int, int, int], body: bytes) -> bytes:
    count = 8 + len(more)
    at = 8 + 2 + 12 * count + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8)]
    tags += [(262, 3, 1, 1), (277, 3, 1, 1)]
    strips = (324, 325) if any(tag == 322 for tag, *_ in more) else (273, 279)
    tags += [(strips[0], 4, 1, at), (strips[1], 4, 1, len(body)), *more]
    return tiff(sorted(tags), body)


def same_bytes_many_times(tags: int = 5_000) -> bytes:
    """A block of tags that all refer to the same 60 kB: 300 MB when it is read."""
    return tiff([(1000 + n, 1, 60_000, 12) for n in range(tags)])


def jpeg_with_scans(scans: int, side: int = 1000) -> bytes:
    data = encode(Image.new("RGB", (side, side), (9, 9, 9)), "JPEG", progressive=True)
    parts = data.split(b"\xff\xda")
    return b"\xff\xda".join([*parts[:-1], *[parts[-1][:-2]] * scans]) + b"\xff\xd9"


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(encode(picture(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_canvas(width: int, height: int) -> bytes:
    def part(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    def wide(number: int) -> bytes:
        return struct.pack("<I", number)[:3]

    frame = encode(picture((64, 64)), "WEBP", lossless=True)[12:]
    body = part(b"VP8X", bytes([2, 0, 0, 0]) + wide(width - 1) + wide(height - 1))
    body += part(b"ANIM", bytes(6))
    body += part(b"ANMF", wide(0) * 2 + wide(63) * 2 + wide(10) + b"\0" + frame)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif(width: int, height: int, frame: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    image = b"," + struct.pack("<HHHHB", *frame, 0) + b"\x08"
    blocks = b"".join(
        bytes([len(data[n : n + 255])]) + data[n : n + 255] for n in range(0, len(data), 255)
    )
    return head + image + blocks + b"\0;"


def jp2_size(width: int, height: int, inside: bool) -> bytes:
    """A JPEG 2000 whose box (or, `inside`, whose code stream) claims another size."""
    data = bytearray(encode(picture((64, 64)), "JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51") + 8 if inside else data.index(b"ihdr") + 4
    sides = (width, height) if inside else (height, width)
    data[at : at + 8] = struct.pack(">II", *sides)
    if inside:
        data[at + 16 : at + 24] = struct.pack(">II", *sides)  # one tile
    return bytes(data)


def avif_size(width: int, height: int) -> bytes:
    data = bytearray(encode(picture((64, 64)), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def _text(kind: bytes, size: int) -> bytes:
    body = zlib.compress(bytes(size), 9)
    between = b"\0\0\0\0" if kind == b"iTXt" else b"\0"
    return chunk(kind, b"key\0" + (b"\1\0\0\0" if kind == b"iTXt" else between[:1]) + body)


def _raw_exif() -> bytes:
    block = (b"Exif\0\0" + same_bytes_many_times()).hex()
    text = f"\nexif\n{len(block) // 2}\n{block}".encode()
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text, 9))


BOMBS: dict[str, Callable[[], bytes]] = {
    "png-many-tag-blocks": lambda: png(chunk(b"teSt", b"II*\0\x08\0\0\0" * 500_000), IDAT),
    "png-many-empty-tag-blocks": (
        lambda: png(chunk(b"teSt", b"MM\0*\xff\xff\xff\xff" * 1_000_000), IDAT)
    ),
    "gif-many-tag-blocks": lambda: b"GIF89a" + b"II*\0\x08\0\0\0" * 20_000,
    "webp-many-tag-blocks": lambda: b"RIFF\0\0\0\0WEBP" + b"MM\0*\0\0\0\x08" * 2_000,
    "jpeg-tiny-exif-segments": lambda: b"\xff\xd8" + b"\xff\xe1\0\x09Exif\0\0x" * 2_000_000,
    "jpeg-long-exif-segments": (
        lambda: b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 600
    ),
    "png-60000-squared": lambda: png(IDAT, size=(60_000, 60_000)),
    "png-2g-wide": lambda: png(IDAT, size=(2**31 - 1, 64)),
    "png-zero-size": lambda: png(IDAT, size=(0, 0)),
    "png-deflate-bomb": lambda: png(chunk(b"IDAT", zlib.compress(bytes(300_000_000), 9))),
    "png-short-data": lambda: png(chunk(b"IDAT", zlib.compress(b"x"))),
    "png-no-data": lambda: png(),
    "png-two-headers": lambda: png(
        chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), IDAT
    ),
    "png-ztxt": lambda: png(_text(b"zTXt", 300_000_000), IDAT),
    "png-itxt": lambda: png(_text(b"iTXt", 300_000_000), IDAT),
    "png-iccp": lambda: png(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(300_000_000), 9)), IDAT),
    "png-many-texts": lambda: png(*[_text(b"zTXt", 1_000_000)] * 200, IDAT),
    "png-tiny-chunks": lambda: png(chunk(b"abCd", b"") * 200_000, IDAT),
    "png-empty-idats": lambda: png(chunk(b"IDAT", b"") * 200_000, IDAT),
    "png-exif": lambda: png(chunk(b"eXIf", same_bytes_many_times()), IDAT),
    "png-raw-exif": lambda: png(_raw_exif(), IDAT),
    "png-exif-bomb-behind": lambda: png(IDAT, chunk(b"eXIf", same_bytes_many_times())),
    "png-palette-absent": lambda: png(IDAT, colours=3),
    "png-depth-16-as-3": lambda: png(IDAT, depth=3),
    "png-negative-length": lambda: png(IDAT)[:33] + b"\xff\xff\xff\xffIDAT" + bytes(50),
    "png-interlaced-cut": lambda: png(IDAT)[:28] + b"\1" + png(IDAT)[29:],
    "apng-huge-frame": lambda: png(
        chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0)),
        IDAT,
    ),
    "ico-png-177-megapixels": lambda: ico(png_of(13_300, 13_300)),
    "ico-png-144-megapixels-long": lambda: ico(png_of(144_000_000 // 64, 64)),
    "ico-png-claims-60000": lambda: ico(png(IDAT, size=(60_000, 60_000))),
    "ico-bmp-60000": lambda: ico(dib(60_000, 120_000)),
    "ico-bmp-cut": lambda: ico(dib(64, 128)),
    "ico-inside-ico": lambda: ico(ico(png_of(64, 64))),
    "ico-no-entry": lambda: struct.pack("<HHH", 0, 1, 0) + bytes(60),
    "ico-65535-entries": lambda: struct.pack("<HHH", 0, 1, 65_535) + bytes(600),
    "ico-offset-outside": lambda: ico(b"")[:18] + b"\xff\xff\xff\x7f" + bytes(40),
    "bmp-60000": lambda: bmp(60_000, 60_000),
    "bmp-negative": lambda: bmp(-64, -(2**31)),
    "bmp-rle-delta": lambda: bmp(3_000, 3_000, 8, 1, b"\0\2\xff\xff" * 2_000),
    "bmp-rle-endless": lambda: bmp(12_000, 12_000, 8, 1, b"\0\0" * 1_000),
    "bmp-jpeg-inside": lambda: bmp(64, 64, 24, 4, encode(picture(), "JPEG")),
    "tiff-60000": lambda: tiff_picture(60_000, 60_000, body=pixels(64, 64, 1)),
    "tiff-tile-bomb": lambda: tiff_picture(
        64, 64, (322, 4, 1, 30_000), (323, 4, 1, 30_000), body=zlib.compress(bytes(900_000), 9)
    ),
    "tiff-strip-bomb": lambda: tiff_picture(64, 64, body=zlib.compress(bytes(300_000_000), 9)),
    "tiff-many-strips": lambda: tiff_picture(64, 64, (278, 4, 1, 0), body=b"x").replace(
        struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 273, 4, 400_000_000)
    ),
    "tiff-same-bytes": lambda: same_bytes_many_times(),
    "tiff-directory-loop": lambda: tiff_picture(64, 64, body=b"")[:-4] + struct.pack("<I", 8),
    "tiff-directory-outside": lambda: struct.pack("<2sHI", b"II", 42, 2**31 - 8),
    "tiff-65535-samples": lambda: tiff_picture(64, 64, (338, 3, 1, 0), body=b"x").replace(
        struct.pack("<HHIHH", 277, 3, 1, 1, 0), struct.pack("<HHIHH", 277, 3, 1, 65_535, 0)
    ),
    "bigtiff-outside": lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63) + bytes(50),
    "jpeg-65500-squared": lambda: jpeg_of(65_500, 65_500),
    "jpeg-larger-than-data": lambda: jpeg_of(9_000, 9_000),
    "jpeg-500-scans": lambda: jpeg_with_scans(500),
    "jpeg-exif-bomb": lambda: encode(picture(), "JPEG", exif=b"Exif\0\0" + same_bytes_many_times()),
    "jpeg-exif-loop": lambda: encode(
        picture(), "JPEG", exif=b"Exif\0\0" + tiff([(0x8769, 4, 1, 8), (0x0112, 3, 9, 8)])
    ),
    "jpeg-icc-65535-parts": lambda: encode(picture(), "JPEG", icc_profile=bytes(3_000_000)),
    "jpeg-segment-length-0": lambda: b"\xff\xd8" + b"\xff\xe1\0\0" * 5_000,
    "jpeg-padding": lambda: b"\xff\xd8" + b"\xff" * 2_000_000,
    "jpeg-no-tables": lambda: encode(picture(), "JPEG").replace(b"\xff\xdb", b"\xff\xfe"),
    "webp-canvas-65535": lambda: webp_canvas(65_535, 65_535),
    "webp-canvas-16m": lambda: webp_canvas(2**24, 200),
    "webp-exif-bomb": lambda: encode(picture(), "WEBP", exif=same_bytes_many_times()),
    "webp-cut-header": lambda: encode(picture(), "WEBP")[:25],
    "gif-65535-squared": lambda: gif(65_535, 65_535, (0, 0, 64, 64)),
    "gif-frame-outside": lambda: gif(64, 64, (60_000, 60_000, 5_000, 5_000)),
    "gif-lzw-nonsense": lambda: gif(64, 64, (0, 0, 64, 64), b"\xff" * 5_000),
    "gif-endless-comment": lambda: b"GIF89a@\0@\0\0\0\0" + b"!\xfe" + b"\xffA" * 200_000,
    "jp2-box-60000": lambda: jp2_size(60_000, 60_000, inside=False),
    "jp2-stream-60000": lambda: jp2_size(60_000, 60_000, inside=True),
    "jp2-many-boxes": lambda: encode(picture(), "JPEG2000")[:32] + b"\0\0\0\x08free" * 100_000,
    "avif-60000": lambda: avif_size(60_000, 60_000),
    "avif-12000": lambda: avif_size(12_000, 12_000),
    "avif-exif-bomb": lambda: encode(picture(), "AVIF", exif=same_bytes_many_times()),
    "ppm-60000": lambda: b"P6 60000 60000 255\n" + bytes(100),
    "ppm-long-number": lambda: b"P6 " + b"9" * 1_000_000 + b" 64 255\n",
    "ppm-endless-comment": lambda: b"P6 #" + b"x" * 3_000_000,
    "ppm-plain-short": lambda: b"P3 12000 12000 255\n" + b"1 " * 1_000,
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) run\n",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>',
    "psd": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(99),
    "icns": lambda: b"icns" + struct.pack(">I", 5_000) + b"ic10" + bytes(4_000),
    "pcx": lambda: b"\n\5\1\x08" + struct.pack("<HHHH", 0, 0, 60_000, 60_000) + bytes(200),
    "fli": lambda: struct.pack("<IHHHHH", 200, 0xAF12, 1, 64, 64, 8) + bytes(200),
    "pdf": lambda: b"%PDF-1.7\n" + bytes(200),
    "zip": lambda: b"PK\3\4" + bytes(200),
}


def mutated(seed: int) -> bytes:
    """One of the good files with random damage; the same for the same seed."""
    source = random.Random(seed)
    data = bytearray(_good(SEEDS[seed % len(SEEDS)], seed // len(SEEDS) % 4))
    for _ in range(source.choice((1, 1, 2, 4, 16, 64))):
        at = source.randrange(len(data)) if data else 0
        match source.randrange(7):
            case 0:
                data[at : at + 1] = bytes([source.randrange(256)])
            case 1 if data:
                data[at] ^= 1 << source.randrange(8)
            case 2:
                del data[at : at + source.randrange(1, 64)]
            case 3:
                data[at:at] = source.randbytes(source.randrange(1, 64))
            case 4:
                width = source.choice((1, 2, 4))
                data[at : at + width] = source.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * width
            case 5:
                other = source.randrange(len(data)) if data else 0
                data[at:at] = data[other : other + source.randrange(1, 200)]
            case 6 if source.random() < 0.2:
                del data[at:]
    return bytes(data)


_GOOD: dict[tuple[str, int], bytes] = {}


def _good(kind: str, variant: int) -> bytes:
    if (kind, variant) not in _GOOD:
        options: dict[str, dict[str, object]] = {
            "JPEG": {"progressive": variant % 2 == 1, "exif": b"Exif\0\0" + tiff([(274, 3, 1, 6)])},
            "PNG": {"exif": tiff([(274, 3, 1, 3)]), "icc_profile": bytes(100)},
            "WEBP": {"lossless": variant % 2 == 1},
            "GIF": {"save_all": variant > 1, "append_images": [picture(mode="L")] * (variant > 1)},
            "ICO": {"sizes": [(64, 64), (32, 32)], "bitmap_format": ("png", "bmp")[variant % 2]},
        }
        mode = ("RGB", "L", "P", "RGBA")[variant] if kind in ("PNG", "ICO") else "RGB"
        image = picture((64, 64) if kind == "ICO" else (96, 64)).convert(mode)
        _GOOD[kind, variant] = encode(image, kind, **options[kind])
    return _GOOD[kind, variant]


def outcome(data: bytes) -> str:
    """`decoded`, or the reason of the refusal; any other error is not caught."""
    try:
        facts = decode.probe(data)
    except ImageRefused as refused:
        return refused.reason
    assert facts.width * facts.height <= decode.MAX_PIXELS
    return "decoded"


def torture(count: int, start: int = 0) -> Counter[str]:
    """Decode `count` mutated files; the number of each outcome. Raises what is not a refusal."""
    return Counter(outcome(mutated(seed)) for seed in range(start, start + count))


def all_bombs() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every hostile file."""
    for name, build in BOMBS.items():
        yield name, build()
