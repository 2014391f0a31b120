"""Push a folder to the Hugging Face Hub: private, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from repic.errors import TargetError
from repic.export.run import RECORD

RepoType = Literal["dataset", "model"]


def subjects_sentence(facts: Mapping[str, Any]) -> str:
    """What a push makes known, by `export.json`."""
    metadata = ", with the EXIF and GPS of whole photos" if facts["keep_exif"] else ""
    return (
        f"{facts['photos']} photos{metadata}; the objects that prompts name are of "
        f"{facts['identities']} identities, labelled or mined, {facts['people']} of them people "
        f"(under {facts['names']} drawn names)"
    )


def check_pushable(facts: Mapping[str, Any]) -> None:
    """Refuse an export that would not work elsewhere.

    Raises:
        TargetError: it refers to photos on this machine.
    """
    if facts["pictures"] == "reference":
        raise TargetError("pictures by reference stay on this machine: use --pictures copy to push")


def push(folder: Path, name: str, kind: RepoType, public: bool) -> str:
    """Upload a folder; returns the address of the repository.

    Args:
        name: `ORG/NAME`.
        public: Make a new repository public. One that exists stays as it is.

    Raises:
        TargetError: the Hub refuses it, or the repository is public and `public` is false.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi()
    try:
        address = api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
        if not public and not api.repo_info(name, repo_type=kind).private:
            raise TargetError(
                f"{name} exists and is public: give --public to upload there, or another name"
            )
        api.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=str(folder),
            commit_message="Export of repic",
            ignore_patterns=[RECORD] if kind == "model" else None,
        )
    except HFValidationError as error:
        raise TargetError(f"{name!r} is no ORG/NAME of the Hub: {error}") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        text = str(error).strip().splitlines()
        raise TargetError(
            f"the Hub does not take {name} ({text[0] if text else type(error).__name__}): log in "
            f"with `hf auth login`, and push {folder} again"
        ) from error
    return str(address)


def download(name: str) -> Path:
    """A dataset of the Hub as a folder in its cache.

    Raises:
        TargetError: there is no such folder and no such dataset, or the Hub does not answer.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except HFValidationError:
        raise TargetError(f"{name} is neither a folder nor an ORG/NAME of the Hub") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise TargetError(
            f"{name} is not a folder, and cannot be fetched from the Hub: check the name, and "
            "log in with `hf auth login`"
        ) from error
