"""Hashes that name things: fingerprints of settings, contents of rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ID_DIGITS = 32
"""Hex digits of an id: 128 bits, so that a billion rows collide with a chance below 1e-20."""


def fingerprint(value: Any) -> str:
    """Id of a JSON value: SHA-256 of its canonical form (sorted keys, no spaces), 32 hex digits.

    Raises:
        TypeError: `value` holds something that JSON does not.
        ValueError: `value` holds NaN or an infinity, which have no canonical form.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
