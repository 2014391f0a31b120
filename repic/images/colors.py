"""Pictures of any mode as 8-bit sRGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms


def to_rgb(file: Image.Image) -> Image.Image:
    """Copy of a loaded picture of any mode, as 8-bit sRGB."""
    if file.mode.startswith(("I", "F")):
        return _to_8_bits(file).convert("RGB")
    if file.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _convert_profile(file, lab) or file.getchannel(0).convert("RGB")
    picture = file
    if file.has_transparency_data:
        top = file.convert("RGBA")
        picture = Image.new("RGB", top.size, "white")
        picture.paste(top, mask=top)
    elif file.mode not in ("RGB", "CMYK", "L"):
        picture = file.convert("RGB")
    profile = file.info.get("icc_profile")
    converted = _apply_profile(picture, profile) if profile else None
    return converted or picture.convert("RGB")


def _to_8_bits(file: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as 8 bits.

    Integers up to 65535 and floats from 0 to 1 are scaled from that range. Other values have no
    known range and are scaled from their minimum and maximum; a single value becomes black.
    """
    values = np.nan_to_num(np.asarray(file, dtype=np.float32))
    low, high = (0.0, 1.0) if file.mode == "F" else (0.0, 65535.0)
    if values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low) if low < high else 0.0)
    return Image.fromarray(scaled.round().astype(np.uint8))


def _apply_profile(picture: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return None
    except (ImageCms.PyCMSError, OSError):
        return None
    return _convert_profile(picture, source)


def _convert_profile(picture: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image | None:
    """Picture in sRGB, or None if the profile is broken or does not fit the mode."""
    try:
        return ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
