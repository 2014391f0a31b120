"""Perceptual hash of a picture."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

FLAT = 3
"""Maximum range of grey levels in a picture without content."""

# Rows 1..8 of the DCT-II matrix of 32 points; the scale does not affect comparisons.
_DCT = np.cos(np.pi * np.outer(np.arange(1, 9), np.arange(32) + 0.5) / 32)


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash, 16 hex digits; hashes of similar pictures differ in few bits.

    As in Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
    section 3.2.2: grey, 32x32, DCT-II; the coefficients 1..8 in both directions are compared with
    their median. Bits are in row order, the most significant first.

    A picture without content (32x32 within `FLAT` grey levels) has no frequencies to compare. Its
    hash is a digest of its mean color instead, so only pictures of nearly the same color match.
    """
    small = picture.resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0)
    grey = np.asarray(small.convert("L"), dtype=np.float64)
    if np.ptp(grey) <= FLAT:
        mean = np.asarray(small, dtype=np.float64).mean(axis=(0, 1)).round() // 8
        return hashlib.blake2b(mean.astype(np.uint8).tobytes(), digest_size=8).hexdigest()
    low = _DCT @ grey @ _DCT.T
    # Rounded, since the last bits of a sum differ between CPUs.
    low = low.round(6)
    return np.packbits(low > np.median(low)).tobytes().hex()
