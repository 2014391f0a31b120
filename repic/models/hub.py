"""Whether the Hugging Face hub can be reached, asked once instead of retried for half a minute."""

from __future__ import annotations

import logging
from pathlib import Path


def is_needed_but_away(name: str) -> bool:
    """Whether a model must come from the cache: it is not a folder, and the hub does not answer.

    Loaders of transformers take the answer as `local_files_only`.
    """
    return not Path(name).is_dir() and not _answers()


def quiet_retries() -> None:
    """Disable the two lines that huggingface_hub logs for each of its retries."""
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)


def _answers() -> bool:
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # which HTTP library raises depends on the version of huggingface_hub
        return False
    return True
