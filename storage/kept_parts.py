"""Parts that no version names, but that the next build can use: gc leaves those of the last one.

A version that publishes only some rows of its parts has shards of its own, and the results of a
search are not a table, so no manifest names these parts. A build therefore lists them in a file
(a card), `kept/<table>/<hash>.json`, which replaces the list of the build before. Losing them only
costs time: a card that no build has written for `EXPIRY` is garbage, and so are the parts that
only it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, Field

from storage import documents, parts
from storage.documents import Frozen
from storage.errors import DamagedError, StoreError
from storage.files import Files
from storage.hashing import fingerprint
from storage.manifest import Path
from storage.parts import Part

FOLDER = "kept"
EXPIRY = timedelta(days=30)
EVER = datetime.min.replace(tzinfo=UTC)
"""Before any card was written."""


class KeptParts(Frozen):
    """Paths of the parts that the last build used for one thing, and when that was."""

    paths: tuple[Path, ...]
    used: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


def keep(files: Files, table: str, recipe: str, use: str, kept: Iterable[Part]) -> None:
    """Note the parts of a table and recipe that a build uses, in place of those of the last one.

    Args:
        use: What for; each use has parts of its own.

    Raises:
        StoreError: no space, no permission, or the table or recipe can have no parts.
    """
    card = f"{FOLDER}/{table}/{fingerprint([parts.folder(table, recipe), use])}.json"
    paths = tuple(sorted(part.shard.path for part in kept))
    files.replace(card, KeptParts(paths=paths).model_dump_json().encode())


def find(files: Files, oldest: datetime) -> dict[str, KeptParts]:
    """The cards that were written after a time, by path.

    Raises:
        StoreError: one cannot be read, so that it is unknown which parts it keeps.
    """
    cards = {}
    for path in files.find(FOLDER):
        try:
            card = documents.read(files, path, KeptParts)
        except FileNotFoundError:  # removed meanwhile
            continue
        except DamagedError as error:
            raise StoreError(
                f"{files.full(path)} cannot be read, so it is unknown which parts it keeps: delete "
                "it; the next build then computes again what is missing."
            ) from error
        if card.used > oldest:
            cards[path] = card
    return cards
