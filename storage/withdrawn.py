"""Withdrawn versions: their rows or files are deleted on purpose, and their manifests stay.

What was made from such a version still names it, so its manifest remains as a part of lineage. A
mark, `withdrawn/<name>/v000003.json`, says that its files are not lost: `verify` does not miss
them, `repair` does not bring them back, and gc deletes those that no other version names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime

from storage.files import Files
from storage.manifest import NAME, ArtifactRef
from storage.refs import Ref, Refs

FOLDER = "withdrawn"


def path(ref: ArtifactRef) -> str:
    """Path of the mark of a version, relative to the store."""
    return f"{FOLDER}/{ref.name}/v{ref.version:06d}.json"


def mark(files: Files, ref: ArtifactRef) -> None:
    """Mark a version; nothing happens if it is marked. Raises: StoreError."""
    files.create(path(ref), json.dumps({"withdrawn": datetime.now(UTC).isoformat()}).encode())


def is_marked(files: Files, ref: ArtifactRef) -> bool:
    """Whether a version is withdrawn."""
    return files.exists(path(ref))


def find(files: Files) -> frozenset[ArtifactRef]:
    """All versions that are withdrawn. Raises: StoreError."""
    form = re.compile(rf"{FOLDER}/({NAME.pattern})/v0*([1-9][0-9]*)\.json")
    found = (form.fullmatch(name) for name in files.paths(FOLDER))
    return frozenset(ArtifactRef.exact(match[1], int(match[2])) for match in found if match)


def refs_without(
    before: Refs, gone: Collection[ArtifactRef], left: dict[str, list[int]]
) -> dict[str, Ref]:
    """Refs that name none of these versions: tags go, and `latest` is the newest that is left.

    Args:
        left: Name -> numbers of the versions that are not withdrawn, ascending.
    """
    after = {}
    for name, ref in before.items():
        lost = {version.version for version in gone if version.name == name}
        tags = {tag: number for tag, number in ref.tags.items() if number not in lost}
        newest = next(iter(reversed(left.get(name, []))), None)
        after[name] = Ref(latest=newest if ref.latest in lost else ref.latest, tags=tags)
    return after
