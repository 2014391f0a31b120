"""Parquet files of a data set on the Hugging Face hub, brought to this machine."""

from __future__ import annotations

import os
import re

from repic.errors import SourceError
from repic.images import uris

_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_CONVERTED = "refs/convert/parquet"
"""The branch on which the hub keeps Parquet of data sets that come in another form."""


def local_copy(path: str) -> str:
    """The path itself if it is a URL or exists; else the folder that `owner/name` is kept in.

    The download goes through the cache of `huggingface_hub`, so it happens once, and photos are
    addressed by files that stay.

    Raises:
        SourceError: it is neither, or the hub cannot give it.
    """
    if uris.is_url(path) or os.path.exists(os.path.expanduser(path)) or not _NAME.match(path):
        return path
    from huggingface_hub import snapshot_download

    for revision in (None, _CONVERTED):
        try:
            folder = snapshot_download(
                path, repo_type="dataset", revision=revision, allow_patterns=["*.parquet"]
            )
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{path} is no folder here, and the hub does not give it ({type(error).__name__});"
                " download it where there is a network and set source.path to its folder"
            ) from error
        if any(name.endswith(".parquet") for _, _, names in os.walk(folder) for name in names):
            return folder
    raise SourceError(f"the data set {path} of the hub has no Parquet files; export it to Parquet")
