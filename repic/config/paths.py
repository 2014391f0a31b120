"""Folders of this machine that belong to repic."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """The user's folder for what must be kept and cannot be derived again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "repic"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming")) / "repic"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "repic"


def cache_folder() -> Path:
    """Folder for what is derived or downloaded once: REPIC_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("REPIC_CACHE"):
        return Path(chosen).expanduser().resolve()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "repic"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "repic"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repic"
