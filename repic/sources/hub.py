"""Downloads of Parquet files from the Hugging Face hub."""

from __future__ import annotations

import os
import re

from repic.errors import SourceError
from repic.images import uris

_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_CONVERTED = "refs/convert/parquet"
"""Branch of the hub with Parquet of data sets in other formats."""


def local_copy(path: str) -> str:
    """The path itself if it is a URL or exists; otherwise the folder of the data set `owner/name`.

    Files are downloaded once, to the cache of `huggingface_hub`, where they stay.

    Raises:
        SourceError: the data set cannot be downloaded or has no Parquet files.
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
                f"{path} is not a local folder and cannot be downloaded ({type(error).__name__});"
                " download it on a machine with network access and set source.path to its folder"
            ) from error
        if any(name.endswith(".parquet") for _, _, names in os.walk(folder) for name in names):
            return folder
    raise SourceError(f"the data set {path} on the hub has no Parquet files; export it to Parquet")
