"""Good and bad files as in real folders of photos, with the expected result of each."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from repic.images.fetch import Reason

SIZE = (96, 64)


@dataclass(frozen=True)
class Odd:
    """An odd file, and the reason of its refusal; None if it is accepted."""

    name: str
    write: Callable[[Path], object]
    reason: Reason | None = None


def picture(size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    """Smooth colors with structure; deterministic."""
    noise = np.random.default_rng(7).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rotated_by_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(), "JPEG", exif=exif, quality=95)


def sixteen_bits() -> Image.Image:
    ramp = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0])
    return Image.fromarray(ramp.astype(np.uint16))


def translucent() -> Image.Image:
    image = picture(mode="RGBA")
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    return image


def palette_with_hole() -> bytes:
    image = picture().quantize(16)
    return encode(image, "PNG", transparency=0)


def animation() -> bytes:
    frames = [picture(), picture().rotate(90), picture().rotate(180)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def bomb() -> bytes:
    """PNG that declares 60,000 x 60,000 pixels in its header, with too little data."""
    return _png(60_000, 0, zlib.compress(bytes(60_001)))


def flat(side: int, number: int) -> bytes:
    """A complete PNG of one color, side x side, of a few bytes per row; `number` varies it."""
    rows = zlib.compressobj(1)
    row = b"\0" + bytes((200, 16 * number % 256, 90)) * side
    return _png(side, 2, b"".join([*(rows.compress(row) for _ in range(side)), rows.flush()]))


def _png(side: int, colours: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def flipped_bit() -> bytes:
    data = bytearray(encode(picture(), "PNG"))
    data[data.index(b"IDAT") + 200] ^= 0x10
    return bytes(data)


def missing_scans() -> bytes:
    """A progressive JPEG with only its first scans and a proper end: a complete, coarse picture."""
    data = encode(picture(), "JPEG", progressive=True)
    return b"\xff\xda".join(data.split(b"\xff\xda")[:5]) + b"\xff\xd9"


def _cut(kind: str, share: float = 0.6) -> bytes:
    data = encode(picture(), kind)
    return data[: int(len(data) * share)]


def _file(data: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data())


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _profile(kind: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()  # type: ignore[arg-type]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
HEIC_ANY_CODEC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64)
JXL = b"\xff\x0a" + bytes(64)

ODD: tuple[Odd, ...] = (
    Odd("plain.jpg", _file(lambda: encode(picture(), "JPEG"))),
    Odd("progressive.jpg", _file(lambda: encode(picture(), "JPEG", progressive=True))),
    Odd("progressive-missing-scans.jpg", _file(missing_scans)),
    *(
        Odd(f"exif-{n}.jpg", _file(lambda n=n: rotated_by_exif(n)))  # type: ignore[misc]
        for n in range(1, 9)
    ),
    Odd("exif-nonsense.jpg", _file(lambda: rotated_by_exif(42))),
    Odd("exif-broken.jpg", _file(lambda: encode(picture(), "JPEG", exif=b"Exif\0\0garbage"))),
    Odd("cmyk.jpg", _file(lambda: encode(picture(mode="CMYK"), "JPEG"))),
    Odd("grey.jpg", _file(lambda: encode(picture(mode="L"), "JPEG"))),
    Odd("icc-srgb.jpg", _file(lambda: encode(picture(), "JPEG", icc_profile=_profile("sRGB")))),
    Odd("icc-lab.jpg", _file(lambda: encode(picture(), "JPEG", icc_profile=_profile("LAB")))),
    Odd("icc-broken.jpg", _file(lambda: encode(picture(), "JPEG", icc_profile=b"nonsense" * 20))),
    Odd("16-bit.png", _file(lambda: encode(sixteen_bits(), "PNG"))),
    Odd("16-bit.tif", _file(lambda: encode(sixteen_bits(), "TIFF"))),
    Odd("float.tif", _file(lambda: encode(Image.fromarray(np.eye(64, dtype=np.float32)), "TIFF"))),
    Odd("one-bit.png", _file(lambda: encode(picture(mode="1"), "PNG"))),
    Odd("palette-hole.png", _file(palette_with_hole)),
    Odd("grey-alpha.png", _file(lambda: encode(translucent().convert("LA"), "PNG"))),
    Odd("alpha.png", _file(lambda: encode(translucent(), "PNG"))),
    Odd("alpha.webp", _file(lambda: encode(translucent(), "WEBP"))),
    Odd("animated.gif", _file(animation)),
    Odd("bitmap.bmp", _file(lambda: encode(picture(), "BMP"))),
    Odd("jpeg2000.jp2", _file(lambda: encode(picture(), "JPEG2000"))),
    Odd("portable.ppm", _file(lambda: encode(picture(), "PPM"))),
    Odd("photo.avif", _file(lambda: encode(picture(), "AVIF"))),
    Odd("any-codec.avif", _file(lambda: encode(picture(), "AVIF").replace(b"avif", b"mif1", 1))),
    Odd("png-named.jpg", _file(lambda: encode(picture(), "PNG"))),
    Odd("jpeg-named.txt", _file(lambda: encode(picture(), "JPEG"))),
    Odd("no-suffix", _file(lambda: encode(picture(), "JPEG"))),
    Odd("UPPER.JPG", _file(lambda: encode(picture(), "JPEG"))),
    Odd("name with 100% #1 & spaces.jpg", _file(lambda: encode(picture(), "JPEG"))),
    Odd("犬のしゃしん.jpg", _file(lambda: encode(picture(), "JPEG"))),
    Odd(os.fsdecode(b"caf\xe9.jpg"), _file(lambda: encode(picture(), "JPEG"))),
    Odd("panorama.jpg", _file(lambda: encode(picture((1000, 50)), "JPEG"))),
    Odd("tiny-but-enough.png", _file(lambda: encode(picture((8, 8)), "PNG"))),
    Odd("junk-behind.jpg", _file(lambda: encode(picture(), "JPEG") + b"trailing junk")),
    Odd("zero.jpg", _file(lambda: b""), "empty"),
    Odd("text.jpg", _file(lambda: b"this is no photo\n" * 10), "not-an-image"),
    Odd("page.png", _file(lambda: b"<html><body>404</body></html>"), "not-an-image"),
    Odd("zeros.jpg", _file(lambda: bytes(4096)), "not-an-image"),
    Odd("script.eps.jpg", _file(lambda: encode(picture(), "EPS")), "not-an-image"),
    Odd("cut.jpg", _file(lambda: _cut("JPEG")), "truncated"),
    Odd("cut.png", _file(lambda: _cut("PNG")), "truncated"),
    Odd("cut-end.png", _file(lambda: encode(picture(), "PNG")[:-12]), "truncated"),
    Odd("cut.gif", _file(lambda: _cut("GIF")), "truncated"),
    Odd("cut.webp", _file(lambda: _cut("WEBP")), "truncated"),
    Odd("cut.tif", _file(lambda: _cut("TIFF")), "truncated"),
    Odd("cut.bmp", _file(lambda: _cut("BMP")), "truncated"),
    Odd("head-only.jpg", _file(lambda: encode(picture(), "JPEG")[:20]), "corrupt"),
    Odd("flipped-bit.png", _file(flipped_bit), "corrupt"),
    Odd("photo.heic", _file(lambda: HEIC), "unsupported"),
    Odd("any-codec.heic", _file(lambda: HEIC_ANY_CODEC), "unsupported"),
    Odd("photo.jxl", _file(lambda: JXL), "unsupported"),
    Odd("bomb.png", _file(bomb), "too-many-pixels"),
    Odd("one-pixel.png", _file(lambda: encode(picture((1, 1)), "PNG")), "too-small"),
    Odd("line.png", _file(lambda: encode(picture((300, 7)), "PNG")), "too-small"),
    Odd("sliver.png", _file(lambda: encode(picture((20_000, 10)), "PNG")), "aspect"),
    Odd("folder.jpg", lambda path: path.mkdir(), "not-a-file"),
    Odd("pipe.jpg", _fifo, "not-a-file"),
    Odd("loop.jpg", _loop, "link-loop"),
    Odd("dangling.jpg", lambda path: path.symlink_to("nowhere.jpg"), "missing"),
)
