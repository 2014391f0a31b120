"""Files of a data set that consists of shards, by split."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from repic.errors import SourceError
from repic.images import uris

_SPLITS = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")


class SourceFile(NamedTuple):
    """One file: its URI, and its file system and path in fsspec."""

    uri: str
    files: Any
    path: str


def find(path: str, split: str, suffixes: tuple[str, ...]) -> list[SourceFile]:
    """Files of one split with one of some suffixes, by URI; empty if there is no such file at all.

    The first word of a file's or folder's name gives the split; if no name gives one, all files are
    `train`.

    Raises:
        SourceError: the path or the split does not exist.
    """
    files, folder, local = _opened(path)
    if not files.exists(folder):
        raise SourceError(f"there is no data set at {path}; give an existing one (source.path)")
    paths = [folder] if files.isfile(folder) else files.find(folder)
    shards = sorted(p for p in paths if p.endswith(suffixes) and _is_data(p))
    if not shards:
        return []
    splits = {p: _split_of(p, folder) for p in shards} if shards != [folder] else {}
    if any(splits.values()):
        chosen = [p for p in shards if splits[p] == split]
    else:
        chosen = shards if split == "train" or shards == [folder] else []
    if not chosen:
        names = ", ".join(sorted({name or "train" for name in splits.values()}))
        raise SourceError(f"{path} has no split {split!r}; set source.split to one of: {names}")
    return [_shard(files, p, local) for p in chosen]


def shard(path: str) -> SourceFile:
    """The file at a local path or URL."""
    return _shard(*_opened(path))


def _opened(path: str) -> tuple[Any, str, bool]:
    """File system of a local path or URL, the path in it, and whether it is local."""
    import fsspec

    root = uris.to_uri(path)
    return *fsspec.url_to_fs(uris.fsspec_path(root)), root.startswith("file://")


def _shard(files: Any, path: str, local: bool) -> SourceFile:
    uri = uris.file_uri(path) if local else uris.remote_uri(files.unstrip_protocol(path))
    return SourceFile(uri, files, path)


def _is_data(path: str) -> bool:
    """Whether a file is data, not a cache file of `datasets`."""
    name = PurePosixPath(path).name
    return not name.startswith(("cache-", ".", "indices"))


def _split_of(path: str, folder: str) -> str | None:
    parts = PurePosixPath(path).relative_to(folder).parts
    for part in reversed(parts):
        word = re.split(r"[-_.]", part)[0].lower()
        if word in _SPLITS:
            return word
    return None
