"""Data sets on the Hugging Face hub: `owner/name` is downloaded, `hf://datasets/owner/name` is not.

Either way a branch or tag becomes the commit that it names at that moment, and the commit is a part
of the addresses of all photos.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from repic.errors import SourceError
from repic.images import uris

REMOTE = "hf://datasets/"
_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_REMOTE = re.compile(r"^hf://datasets/([\w.-]+/[\w.-]+)(?:@([^/]+))?(/.*)?$")
_COMMIT = re.compile(r"(?:/snapshots/|@)([0-9a-f]{40})(?:/|$)")
_CONVERTED = "refs/convert/parquet"
"""Branch of the hub with Parquet of data sets in other formats."""


def located(path: str, revision: str | None = None, config: str | None = None) -> str:
    """Where to read a data set: a local path or a URL, unchanged unless the hub has it.

    Files of `owner/name` are downloaded once, to the cache of `huggingface_hub`, where they stay.

    Args:
        revision: Commit, tag or branch on the hub; None for its newest commit.
        config: Configuration; used where the hub keeps the files of each in its own folder.

    Raises:
        SourceError: the data set cannot be reached or has no Parquet files.
    """
    if remote := _REMOTE.match(path):
        name, named, below = remote.groups()
        return f"{REMOTE}{name}@{_commit(name, revision or named)}{below or ''}"
    if uris.is_url(path) or os.path.exists(os.path.expanduser(path)) or not _NAME.match(path):
        if revision:
            raise SourceError(
                f"{path} is not on the hub, so it has no revision {revision!r}; "
                "remove source.revision"
            )
        return path
    for branch in (revision,) if revision else (None, _CONVERTED):
        try:
            folder = _downloaded(path, branch, config if branch == _CONVERTED else None)
        except SourceError:
            if branch == _CONVERTED:
                break  # the hub has converted nothing
            raise
        if any(name.endswith(".parquet") for _, _, names in os.walk(folder) for name in names):
            return folder
    raise SourceError(
        f"the data set {path} on the hub has no Parquet files; "
        f"give source.path={REMOTE}{path} to read it in place"
    )


def commit_of(uri: str) -> str | None:
    """The commit of the hub that an address of a photo or data set names, if any."""
    match = _COMMIT.search(uri.partition("#")[0])
    return match[1] if match else None


def name_and_commit(path: str) -> tuple[str, str | None] | None:
    """`owner/name` and the revision of an `hf://datasets/` address; None for other paths."""
    match = _REMOTE.match(path)
    return (match[1], match[2]) if match and not (match[3] or "").strip("/") else None


def _downloaded(path: str, revision: str | None, config: str | None) -> str:
    from huggingface_hub import snapshot_download

    below = f"{config}/" if config else ""
    with _reachable(path, revision):
        return snapshot_download(
            path,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[f"{below}*.parquet", "README.md"],
        )


def _commit(name: str, revision: str | None) -> str:
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi

    with _reachable(name, revision):
        return str(HfApi().dataset_info(name, revision=revision).sha)


@contextmanager
def _reachable(name: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of the hub into a `SourceError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        what = f"revision {revision!r} of {name}" if revision else name
        raise SourceError(
            f"{what} is not a local folder and cannot be downloaded ({type(error).__name__});"
            " download it on a machine with network access and set source.path to its folder"
        ) from error
