"""Open, check, orient and crop pictures; refusals carry a reason.

The result is always upright 8-bit sRGB: EXIF orientation is applied, color profiles are converted
(broken ones ignored), transparency is put on white, 16 bits are scaled, and the first frame of an
animation is used. The first bytes determine the format, not the name, and only its decoder sees the
file. A picture is decoded completely before it is accepted, so truncated files are refused.

Every picture that the package did not draw itself is decoded here: limits come before decoding, and
no format is read whose decoder starts a program or opens another file. Peak memory is about three
copies of `MAX_PIXELS` x 4 bytes for any number of threads, which share one budget of pixels.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFile

from repic.images import containers, uris
from repic.images.colors import to_rgb
from repic.images.fetch import ImageRefused, read_bytes
from repic.images.formats import HEAD_BYTES, load_decoder, sniff
from repic.images.identity import read_identified
from repic.images.perceptual_hash import perceptual_hash
from repic.images.semaphore import WeightedSemaphore

if TYPE_CHECKING:
    from repic.images.coordinates import Box

MAX_PIXELS = 150_000_000
"""Maximum pixels of a picture; Pillow itself refuses from 179 million on."""
MIN_SIDE = 8
"""Minimum pixels of the shorter side."""
MAX_ASPECT = 50
"""Maximum ratio of the longer to the shorter side; a wide panorama has about 10."""

_PIXEL_BUDGET = WeightedSemaphore(MAX_PIXELS)
"""Pixels that all threads of this process decode at a time."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112

# The original: ultralytics replaces `Image.open` by a function with other refusals.
_pillow_open = Image.open

# In blocks of 16 MiB, the default, large pictures would stay in a heap of each thread after they
# are freed. The C library maps blocks above 32 MiB on their own and gives them back at once.
Image.core.set_block_size(512 * 2**20)

# Pillow warns from 89 million pixels on; `MAX_PIXELS` is the limit here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # of damaged metadata


@dataclass(frozen=True)
class ImageFacts:
    """Facts of a picture for the table `images`.

    Attributes:
        width: Pixels of the upright picture, or of the requested region.
        height: Pixels, likewise.
        format: Name of the format in Pillow, for example JPEG.
        orientation: EXIF orientation that was applied, 1 to 8.
        phash: Perceptual hash, 16 hex digits; see `perceptual_hash`.
    """

    width: int
    height: int
    format: str
    orientation: int
    phash: str


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a file says.

    Attributes:
        width: Pixels of the photo as it is stored.
        height: Pixels, likewise.
        orientation: EXIF orientation that a viewer applies, 1 to 8.
        xmp: XMP packet, if there is one.
    """

    width: int
    height: int
    orientation: int
    xmp: bytes | None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height in pixels as a viewer shows it."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


def read_header(data: bytes) -> ImageHeader:
    """Size, orientation and XMP of a picture, without decoding it.

    Raises:
        ImageRefused: the header cannot be read, or the picture is too large.
    """
    announced = sniff(data[:HEAD_BYTES])
    if announced is None:
        raise ImageRefused("not-an-image", "its content is of no image format")
    _reset_pillow()
    try:
        containers.check(data, announced)
        if inside := containers.size_inside(data, announced):  # opening would decode it
            _check_size(*inside)
            return ImageHeader(*inside, 1, None)
        with _open(data, announced) as file:
            _check_size(*file.size)
            xmp = file.info.get("xmp")
            packet = xmp.encode() if isinstance(xmp, str) else xmp
            return ImageHeader(*file.size, _orientation(file), packet)
    except ImageRefused:
        raise
    except Exception as error:  # decoders raise many classes for broken data
        raise _undecodable(data, announced, str(error) or type(error).__name__) from error


def probe(data: bytes, region: uris.Region | None = None) -> ImageFacts:
    """Decode a picture completely and describe it.

    Args:
        data: All bytes of the file.
        region: The part to describe, `uris.Location.parse(uri).region`.

    Raises:
        ImageRefused: the picture cannot be used.
    """
    with _decoded(data) as (full, name, orientation):
        picture = _region(full, region)
        return ImageFacts(*picture.size, name, orientation, perceptual_hash(picture))


def decode(data: bytes, region: uris.Region | None = None, reduction: int = 1) -> Image.Image:
    """The picture in the bytes of a file, or a region of it: RGB, upright.

    Args:
        reduction: A power of two by which both sides are divided, rounded up. A JPEG is decoded at
            an eighth or more of its size (libjpeg's scaled transform), which is faster; otherwise
            each pixel is the mean of a square.

    Raises:
        ImageRefused: the picture cannot be used.
    """
    with _decoded(data, 1 if region else reduction) as (picture, _, _):
        part = _region(picture, region)
        return part.reduce(reduction) if region and reduction > 1 else part


def reduction(pixels: float, needed: int) -> int:
    """The largest power of two by which a side can be divided with `needed` pixels left, or 1."""
    return 1 << max(0, int(pixels // needed).bit_length() - 1)


def open_image(uri: str, crop: Box | None = None, image_id: str | None = None) -> Image.Image:
    """The picture at a URI: RGB, upright, cropped to the URI's region and then to `crop`.

    Args:
        crop: xyxy pixels within the picture or region of the URI; expanded to integers and clipped
            at the edges.
        image_id: Id that the picture must have; None: it may have been replaced since the build.

    Raises:
        ImageRefused: the picture cannot be used, or the crop is outside of it.
        ValueError, OSError: see `repic.images.fetch.read_bytes`.
    """
    data = read_bytes(uri) if image_id is None else read_identified(uri, image_id)
    picture = decode(data, uris.Location.parse(uri).region)
    if crop is None:
        return picture
    x1, y1 = max(0, math.floor(crop.x1)), max(0, math.floor(crop.y1))
    x2, y2 = min(picture.width, math.ceil(crop.x2)), min(picture.height, math.ceil(crop.y2))
    if x1 >= x2 or y1 >= y2:
        raise ImageRefused("region", f"{crop} lies outside of {picture.width}x{picture.height}")
    return picture.crop((x1, y1, x2, y2))


@contextlib.contextmanager
def _decoded(data: bytes, reduction: int = 1) -> Iterator[tuple[Image.Image, str, int]]:
    """Picture (RGB, upright, reduced), its format, and the EXIF orientation that was applied.

    Threads wait here while the pixel budget is used up.
    """
    if not data:
        raise ImageRefused("empty", "there are no bytes in it")
    announced = sniff(data[:HEAD_BYTES])
    if announced is None:
        raise ImageRefused("not-an-image", "its content is of no image format")
    _reset_pillow()
    with contextlib.ExitStack() as held:
        try:
            containers.check(data, announced)
            inside = containers.size_inside(data, announced)
            if inside:  # Pillow decodes such a file when it opens it
                _check_size(*inside)
                held.enter_context(_PIXEL_BUDGET.acquire(math.prod(inside)))
            with _open(data, announced) as file:
                name = file.format or announced
                _check_size(*file.size)
                longer = max(file.size)
                if reduction > 1:  # only JPEG can; at most an eighth
                    width, height = (max(1, side // reduction) for side in file.size)
                    file.draft(None, (width, height))
                missing_reduction = reduction // round(longer / max(file.size))
                if not inside:
                    held.enter_context(_PIXEL_BUDGET.acquire(_pixels(file)))
                tagged = _orientation(file)
                if file.format == "PNG":  # decoding does not check the checksums of pixels
                    _pillow_open(io.BytesIO(data), formats=["PNG"]).verify()
                file.load()
                remaining = _orientation(file)  # some formats apply it on load
                picture = to_rgb(file)
            del file  # a second copy of the pixels
        except (ImageRefused, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageRefused("too-many-pixels", str(error)) from None
        except Exception as error:  # decoders raise many classes for broken data
            raise _undecodable(data, announced, str(error) or type(error).__name__) from error
        if missing_reduction > 1:
            picture = picture.reduce(missing_reduction)
        if remaining in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[remaining])
        picture.info = {}  # or orientation and profile would be applied a second time
        yield picture, name, tagged if remaining == 1 else remaining


def _reset_pillow() -> None:
    """Limits of Pillow that other libraries change for the process."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses above twice this number


def _pixels(file: Image.Image) -> int:
    """Pixels that decoding holds; for a format that does not tell, as many as there may be."""
    if file.format in containers.UNPREDICTABLE:
        return MAX_PIXELS
    tile = math.prod(containers.tile_size(file))
    if tile > MAX_PIXELS:
        raise ImageRefused("too-many-pixels", f"a tile has {tile:,} pixels")
    return max(file.width * file.height, tile)


def _open(data: bytes, announced: str) -> Image.Image:
    load_decoder(announced)
    try:
        return _pillow_open(io.BytesIO(data), formats=[announced])
    except Image.UnidentifiedImageError:
        raise _undecodable(data, announced, "its header cannot be read") from None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageRefused(
            "too-many-pixels", f"{width}x{height} pixels; at most {MAX_PIXELS:,} are decoded"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageRefused("too-small", f"{width}x{height} pixels; a side needs {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageRefused("aspect", f"{width}x{height} is longer than {MAX_ASPECT} to 1")


def _orientation(file: Image.Image) -> int:
    try:
        value = 1 if containers.has_heavy_exif(file) else file.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF does not make the picture unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _undecodable(data: bytes, announced: str, cause: str) -> ImageRefused:
    cause = f"{announced}: {cause}"
    declared = int.from_bytes(data[4:8], "little") + 8 if announced == "WEBP" else 0
    if declared > len(data) or "truncated" in cause.lower():
        return ImageRefused("truncated", f"the end of the file is missing ({cause})")
    return ImageRefused("corrupt", f"it cannot be decoded ({cause})")


def _region(picture: Image.Image, region: uris.Region | None) -> Image.Image:
    if region is None:
        return picture
    x1, y1, x2, y2 = region.pixels(*picture.size)
    if x1 >= x2 or y1 >= y2:
        raise ImageRefused("region", f"{region} lies outside of {picture.width}x{picture.height}")
    _check_size(x2 - x1, y2 - y1)
    return picture.crop((x1, y1, x2, y2))
