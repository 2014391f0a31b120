"""What a build has lost against the last one of the same settings; such a build is not published.

A source that is read wrongly, such as an annotation file in another form, often gives a build
without errors and without rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from repic import config
from repic.config import Settings, as_recorded
from repic.errors import ConfigError, ShrinkError
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.reader import StoreReader

LEAST_SHARE = 0.5
"""Share of its rows below which a table has shrunk.

Choosing photos anew loses some of them; if fewer remain than were lost, the rest does not stand
for the data set any more, and what was trained or measured on it cannot be compared.
"""
SMALL_LOSS = 10
"""Losses below this many rows of an objective count only if none is left: chance decides them."""

UNRELATED = ("runtime", "rewards", "quarantine")
"""Sections of settings that change no row."""


@dataclass(frozen=True)
class Size:
    """What a dataset has: usable photos, and rows of each objective."""

    photos: int
    rows: Mapping[str, int]

    @property
    def parts(self) -> dict[str, int]:
        """Every count by its name in sentences."""
        return {"photos": self.photos} | {f"{name} rows": n for name, n in self.rows.items() if n}


def size(store: StoreReader, tables: Mapping[str, Manifest]) -> Size:
    """The size of the dataset that binds these tables."""
    rows = Counter(store.read(tables["examples"].ref, ["objective"])["objective"].to_pylist())
    return Size(tables["images"].rows, rows)


def check(
    store: StoreReader,
    name: str,
    settings: Settings,
    tables: Mapping[str, Manifest],
) -> None:
    """Raise if a build lost most of its photos, or of the rows of an objective, or all of one.

    It is compared with the newest version of the same settings. Other settings explain another
    size; then it is only compared with `latest`, and only refused if it has no row at all.

    Args:
        name: Name of the dataset.
        tables: Table -> version that the build would bind.

    Raises:
        ShrinkError: it has shrunk; `latest` stays.
    """
    now = size(store, tables)
    before = _last_of(store, name, settings)
    same = before is not None
    latest = store.current().of(name).latest
    before = before or (_manifest(store, name, latest) if latest else None)
    if before is None or (then := _size_of(store, before)) is None:
        return
    if lost := losses(then, now) if same else _all_lost(then, now):
        what = " and ".join([", ".join(lost[:-1]), lost[-1]] if lost[1:] else lost)
        built = "of the same settings" if same else "of other settings, which is latest"
        raise ShrinkError(
            f"nothing was published: this build has {what} of {before.ref} ({built}): look at "
            "what the source lost and build again, or accept it with `--allow-shrink`"
        )


def losses(then: Size, now: Size) -> list[str]:
    """What the later size has lost, each as a part of a sentence: `3 of the 40 photos`."""
    counts = now.parts
    return [
        f"{counts.get(part, 0)} of the {count} {part}"
        for part, count in then.parts.items()
        if _has_shrunk(count, counts.get(part, 0), 0 if part == "photos" else SMALL_LOSS)
    ]


def _has_shrunk(then: int, now: int, small: int) -> bool:
    return now == 0 or (now < LEAST_SHARE * then and then - now >= small)


def _all_lost(then: Size, now: Size) -> list[str]:
    count, left = sum(then.rows.values()), sum(now.rows.values())
    return [f"none of the {count} rows"] if count and not left else []


def _last_of(store: StoreReader, name: str, settings: Settings) -> Manifest | None:
    """`latest`, or else the newest version, that was made with the same settings.

    Settings are the same if they differ only in sections that decide no row.
    """
    wanted = _deciding(settings)
    latest = store.current().of(name).latest
    for number in (*([latest] if latest else []), *reversed(store.versions(name))):
        manifest = _manifest(store, name, number)
        try:
            if manifest and _deciding(config.from_record(manifest.settings)) == wanted:
                return manifest
        except ConfigError:  # of another release
            continue
    return None


def _deciding(settings: Settings) -> dict[str, object]:
    record = as_recorded(settings).record(config.BUILD)
    return {section: value for section, value in record.items() if section not in UNRELATED}


def _manifest(store: StoreReader, name: str, number: int) -> Manifest | None:
    try:
        return store.manifest(f"{name}@v{number}")
    except StoreError:  # lost or damaged: `repic doctor` says so
        return None


def _size_of(store: StoreReader, dataset: Manifest) -> Size | None:
    try:
        return size(store, {b.name: store.manifest(b.ref) for b in dataset.inputs})
    except StoreError:
        return None
