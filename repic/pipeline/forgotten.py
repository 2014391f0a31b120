"""What a store is to forget: tombstones, which scans, builds and imports honour.

A tombstone is a row of the versioned table `forgotten`. It holds a hash of the id of a file (which
is the hash of its content), of an address or of an identity, so that the table names nobody, and
yet the same bytes are known again wherever they are found.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from repic import config
from repic.errors import ForgetError
from repic.tables import TABLES
from storage.errors import MovedError
from storage.hashing import ID_DIGITS, fingerprint
from storage.manifest import ArtifactRef, Origin
from storage.reader import StoreReader
from storage.store import Store

NAME = "forgotten"

Kind = Literal["file", "uri", "identity", "name"]
Row = dict[str, Any]

MOST_WORDS = 4
"""Words of a name that is known again inside a text."""

_NUMBER = re.compile(r"[\d ]+")


@dataclass(frozen=True)
class Forgotten:
    """The tombstones of a store, as `hashed` gives them."""

    files: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: StoreReader) -> Forgotten:
        """Those of the latest version of the table. Raises: StoreError."""
        latest = store.current().of(NAME).latest
        if latest is None:
            return cls()
        rows = store.read(ArtifactRef.exact(NAME, latest), ["kind", "hash"]).to_pylist()
        kinds = ("file", "uri", "identity", "name")
        return cls(*(frozenset(r["hash"] for r in rows if r["kind"] == kind) for kind in kinds))

    def __bool__(self) -> bool:
        return bool(self.files or self.uris or self.identities)

    def has_id(self, image_id: str | None) -> bool:
        """Whether this is the id of a forgotten photo that is a whole file."""
        return bool(self.files) and image_id is not None and hashed(image_id) in self.files

    def has(
        self, sha256: str | None, uris: Iterable[str] = (), identities: Iterable[str] = ()
    ) -> bool:
        """Whether a photo is forgotten: by its file, by one of its addresses, or by whom it shows.

        Args:
            sha256: Of its file, if that is known.
        """
        if not self:
            return False
        return (
            self.has_id(sha256 and sha256[:ID_DIGITS])
            or any(hashed(uri) in self.uris for uri in uris)
            or any(hashed(identity) in self.identities for identity in identities)
        )

    def mentioned(self, text: str) -> bool:
        """Whether the name of a forgotten identity stands in a text, as whole words in any case."""
        if not self.names:
            return False
        last: deque[str] = deque(maxlen=MOST_WORDS)
        for word in _words(text):
            last.appendleft(word)
            run = ""
            for before in last:
                run = f"{before} {run}" if run else before
                if hashed(run) in self.names:
                    return True
        return False


def of_identity(identity: str) -> list[tuple[Kind, str]]:
    """The tombstones of an identity: of what it is called, and of this inside a text.

    A number is a name in no text: every file has some.
    """
    name = " ".join(_words(identity))
    is_name = bool(name) and not _NUMBER.fullmatch(name)
    spoken: list[tuple[Kind, str]] = [("name", hashed(name))] if is_name else []
    return [("identity", hashed(identity)), *spoken]


def _words(text: str) -> Iterator[str]:
    return (each[0] for each in _word().finditer(unicodedata.normalize("NFC", text).casefold()))


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    """Letters and digits with the marks on them, such as the vowels of Devanagari."""
    above_latin = map(chr, range(0x300, 0x10000))
    marks = "".join(mark for mark in above_latin if unicodedata.category(mark).startswith("M"))
    return re.compile(rf"[^\W_]+(?:[{marks}][^\W_]*)*")


def of_file(sha256: str) -> tuple[Kind, str]:
    """The tombstone of a file."""
    return "file", hashed(sha256[:ID_DIGITS])


def hashed(text: str) -> str:
    """The SHA-256 by which an id, an address or an identity is known, in hex."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def add(store: Store, tombstones: Iterable[tuple[Kind, str]], reason: str | None) -> None:
    """Add tombstones to the latest ones; those that are there keep their time and reason.

    Args:
        tombstones: Kind and `hashed` value of each.

    Raises:
        storage.errors.StoreError: the store cannot be read or written.
    """
    given = list(tombstones)
    now = datetime.now(UTC).isoformat(timespec="microseconds")

    def with_these(every: list[Row]) -> list[Row]:
        new = {
            (kind, value): {"kind": kind, "hash": value, "forgotten_at": now, "reason": reason}
            for kind, value in given
        }
        return list((new | {(row["kind"], row["hash"]): row for row in every}).values())

    _change(store, with_these)


def undo(store: Store) -> list[Row]:
    """Remove the tombstones that were added last, all of one call; returns them.

    Raises:
        ForgetError: there are none.
        storage.errors.StoreError: the store cannot be read or written.
    """
    removed: list[Row] = []

    def without_last(every: list[Row]) -> list[Row]:
        newest = max((row["forgotten_at"] for row in every), default=None)
        removed[:] = [row for row in every if row["forgotten_at"] == newest]
        if not removed:
            raise ForgetError("nothing is forgotten, so there is nothing to take back")
        return [row for row in every if row["forgotten_at"] != newest]

    _change(store, without_last)
    return removed


def _change(store: Store, change: Callable[[list[Row]], list[Row]]) -> None:
    """Publish other rows of the table, made of the latest ones."""
    while True:
        snapshot = store.current()
        latest = snapshot.of(NAME).latest
        rows = change(store.read(ArtifactRef.exact(NAME, latest)).to_pylist() if latest else [])
        said = sorted([row["kind"], row["hash"], row["forgotten_at"]] for row in rows)
        origin = Origin(fingerprint=fingerprint([NAME, said]), code_version=config.version())
        table = TABLES[NAME].table(rows)
        manifest = store.publish(NAME, table, origin, key=TABLES[NAME].key)
        try:
            store.commit({NAME: manifest.version}, since=snapshot)
        except MovedError:
            continue  # another process forgot something meanwhile
        return
