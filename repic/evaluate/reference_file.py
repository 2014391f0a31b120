"""Texts of references from the concept file of the released data sets.

`{"concept_dict": {"<Ann>": {"name": "Ann", "info": "..."}}}`; other keys are not read.
"""

from __future__ import annotations

import json
from pathlib import Path

from repic.errors import CaptionError
from repic.evaluate.records import folded

MAX_BYTES = 64 * 1024 * 1024
_REMEDY = 'it is {"concept_dict": {"<Ann>": {"info": "..."}}}'


def infos_of(path: Path) -> dict[str, str]:
    """Folded name -> text.

    Raises:
        CaptionError: there is no such file, or it has another form.
    """
    if not path.is_file():
        raise CaptionError(f"there is no file {path}; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise CaptionError(f"{path} is larger than {MAX_BYTES >> 20} MiB; {_REMEDY}")
    try:
        found = json.loads(path.read_bytes())
        entries = found["concept_dict"].items()
        return {folded(name): str(entry.get("info") or "") for name, entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CaptionError(f"{path} is no file of references; {_REMEDY}") from None
