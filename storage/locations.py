"""Which files a location names: a path of a local disk, or the URL of an object store."""

from __future__ import annotations

import os
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from storage.errors import StoreError
from storage.files import Files, LocalFiles
from storage.memory import AtomicMemoryFileSystem

UNFIT = "\\?"
"""Characters of a folder that DuckDB reads as something else: a slash, the start of options."""

CONDITIONAL = {"memory", "s3", "s3a", "gs", "gcs"}
"""Protocols with create-if-absent, which is mode="create" in fsspec."""


EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol -> extra of the package that reads it."""


def file_system(url: str, **options: Any) -> tuple[AbstractFileSystem, str]:
    """The fsspec file system of a URL, and its path there.

    Raises:
        ImportError: its package is not installed; the message names the extra that brings it.
        ValueError: there is no such protocol.
    """
    try:
        return url_to_fs(url, **options)
    except ImportError as error:
        if extra := EXTRAS.get(url.partition("://")[0]):
            raise ImportError(f"its package is missing: pip install 'repic[{extra}]'") from error
        raise


def open_files(url: str, options: dict[str, Any]) -> Files:
    """Open the files under a path or fsspec URL.

    Raises:
        StoreError: the URL cannot be opened, or the file system has no create-if-absent.
    """
    if "://" not in url and not url.startswith("file:"):  # fsspec would split a path at "::"
        return _local_files(LocalFileSystem(), url)
    try:
        fs, root = file_system(url, use_listings_cache=False, **options)
    except (ValueError, ImportError) as error:
        raise StoreError(f"Cannot open {url}: {error}.") from error
    if isinstance(fs, LocalFileSystem):
        return _local_files(fs, root)
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if not protocols & CONDITIONAL:
        raise StoreError(
            f"{url} is on a file system without create-if-absent: "
            "use a local folder, s3:// or gs:// instead."
        )
    return Files(fit(fs), root.rstrip("/"))


def fit(fs: AbstractFileSystem) -> AbstractFileSystem:
    """The file system with the semantics and the errors that a store needs."""
    if isinstance(fs, MemoryFileSystem):
        return AtomicMemoryFileSystem(*fs.storage_args, **fs.storage_options)
    if "s3" in fs.protocol:
        from storage.s3 import StoreS3FileSystem  # needs the extra `s3`

        return StoreS3FileSystem(*fs.storage_args, **fs.storage_options)
    return fs


def _local_files(fs: LocalFileSystem, root: str) -> LocalFiles:
    root = os.path.abspath(root)
    if any("\ud800" <= character <= "\udfff" for character in root):
        raise StoreError(f"The path {root} is not UTF-8: put the store in another folder.")
    if os.sep == "/" and (character := next((c for c in UNFIT if c in root), "")):
        raise StoreError(
            f"DuckDB cannot open files in {root}, because of the {character}: "
            "put the store in a folder without one."
        )
    return LocalFiles(fs, root)
