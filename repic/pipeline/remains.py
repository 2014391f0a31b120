"""What a store still has of what it is to forget, and how that is deleted.

Tombstones name nobody, so the search goes through every file of the store: Parquet files here (ids
of forgotten photos and of their objects, pairs and examples, addresses and identities, also in the
footers of kept results), all others in `file_search`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repic.errors import ForgetError
from repic.pipeline import failures, file_search
from repic.pipeline.forgotten import Forgotten
from repic.pipeline.kept_neighbors import NAME as NEIGHBORS
from repic.pipeline.kept_results import subject_of
from storage import intact, jobs, kept_parts, withdrawn
from storage.errors import DamagedError
from storage.files import Files
from storage.gc import Garbage, gc
from storage.manifest import ArtifactRef, Manifest
from storage.shards import COVERS, NOTE
from storage.store import Store

SILENT = ("store.json", "catalog.duckdb", "leases/", "refs/", "kept/", "withdrawn/")
"""Beginnings of paths that hold names and numbers of versions, and paths of shards."""

ROWS = ("shards/", "parts/")
OURS = (*ROWS, "files/", "failures/", "unfinished/", "damaged/", "tmp/", "manifests/")
"""Folders of a store with other files."""

IDENTITIES = frozenset({"identity", "group"})
"""Columns that may hold an identity."""

SAID = frozenset({"caption", "label", "expressions", "note", "reason", "message"})
"""Columns with texts that may name somebody."""

READERS = 4


@dataclass(frozen=True)
class Remains:
    """What is left of what a store is to forget.

    Attributes:
        versions: Tables, datasets that bind them, and reports that were made from these.
        current: Those of `versions` that the latest dataset is made of; the next build replaces
            them.
        checkpoints: Trained on such a version, also on one that is deleted now, or with a file that
            tells something, such as example answers. They are never deleted.
        kept: Files with results that no version names, training runs that were interrupted, and
            recorded failures.
        manifests: Manifests that tell something, in settings for example. They are never deleted,
            since other versions were made from these.
        foreign: Files in the store's folder that are none of its own, such as an export. They are
            never deleted.
        mentions: Versions and files with the name of a forgotten identity among other words; it may
            be of somebody else, so nothing is deleted for that.
        unread: Files that could not be searched, such as weights.
        ids: Ids of the forgotten photos that tables still tell, and of their objects, pairs and
            examples.
    """

    versions: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    ids: frozenset[str] = field(default=frozenset(), repr=False)

    def __bool__(self) -> bool:
        """Whether there is something to delete; a checkpoint, a manifest or a mention is not."""
        return bool(self.versions or self.kept or self.foreign)

    def as_json(self) -> dict[str, Any]:
        """What `repic forget --check --json` prints."""
        record = asdict(self)
        del record["ids"]
        return record


def remains(store: Store) -> Remains:
    """Search the whole store; reads all of its files.

    Raises:
        storage.errors.StoreError: something cannot be read, so that it is unknown what it holds.
    """
    forgotten = Forgotten.of(store)
    if not forgotten:
        return Remains()
    every = sorted(path for path in store.files.find("") if not path.startswith(SILENT))
    paths = [path for path in every if _is_parquet(path)]
    broken = [path for path in paths if not path.startswith(ROWS) and not _opens(store, path)]
    paths = [path for path in paths if path not in broken]
    others = [path for path in every if ".parquet" not in path]
    with ThreadPoolExecutor(READERS) as pool:
        photos = frozenset().union(*pool.map(partial(_photos, store, forgotten), paths))
        ids = photos.union(*pool.map(partial(_derived, store, photos), paths))
        found = pool.map(partial(_holds, store, forgotten, ids), paths)
        held = {path for path, holds in zip(paths, found, strict=True) if holds}
        told: dict[file_search.Told, set[str]] = defaultdict(set)
        search = partial(file_search.search, store.files, forgotten=forgotten, ids=ids)
        for path, what in zip(others, pool.map(search, others), strict=True):
            told[what].add(path)
        silent = [path for path in paths if path not in held]
        found = pool.map(partial(_mentions, store, forgotten), silent)
        saying = {path for path, says in zip(silent, found, strict=True) if says}
    left = _named(store, held | told["tells"], saying | told["mentions"], ids)
    return replace(left, unread=(*broken, *sorted(told["unread"])))


def delete(store: Store, left: Remains) -> Garbage:
    """Withdraw all versions that hold something, and delete their files and those kept beside them.

    Everything else that no version names goes too, as by `repic gc --apply`. If it is interrupted,
    search and delete again.

    Raises:
        ForgetError: the latest dataset holds something, so that it has to be built again first.
        storage.errors.StoreError: the store cannot be read or written.
    """
    if left.current:
        raise ForgetError(
            f"{', '.join(left.current)} still hold what is to be forgotten, and are what the "
            "latest dataset is made of: run `repic build` as always, then this again"
        )
    with store.lease():
        store.withdraw([ArtifactRef.parse(ref) for ref in left.versions])
        lost = set(left.kept)
        for path, card in kept_parts.find(store.files, kept_parts.EVER).items():
            if path.split("/")[1] == NEIGHBORS or lost.intersection(card.paths):
                store.files.remove(path)
        for job in jobs.find(store.files):
            if any(job.holds(path) for path in lost):
                jobs.end(store.files, job.id)
        for path in sorted(lost):
            if path.startswith((f"{intact.ASIDE}/", f"{failures.FOLDER}/")):
                store.files.remove(path)
    return gc(store, delete=True)


def _is_parquet(path: str) -> bool:
    """Whether a file has rows, but for neighbors, whose keys are hashes and are dropped anyway."""
    return ".parquet" in path and not path.startswith(f"parts/{NEIGHBORS}/")


def _opens(store: Store, path: str) -> bool:
    """Whether a file that no version needs is Parquet; one that was set aside may be damaged."""
    try:
        read_texts(store.files, path)
    except DamagedError:
        return False
    return True


def _photos(store: Store, forgotten: Forgotten, path: str) -> set[str]:
    """Ids of forgotten photos that a file tells."""
    rows = read_texts(store.files, path)
    found = {
        image_id
        for name in rows.column_names
        for column, texts in _texts(rows[name].combine_chunks(), name)
        if column.endswith("image_id")
        for image_id in texts.unique().to_pylist()
        if forgotten.has_id(image_id)
    }
    if {"also_at", "sha256"} <= set(rows.column_names):  # parts of a file have ids of their own
        columns = ["image_id", "uri", "also_at", "sha256", "identity"]
        found |= {
            row["image_id"]
            for row in rows.select(columns).to_pylist()
            if forgotten.has(row["sha256"], [row["uri"], *row["also_at"]], _given(row["identity"]))
        }
    return found


def _derived(store: Store, photos: Collection[str], path: str) -> set[str]:
    """Ids of objects, pairs and examples of these photos that a file tells."""
    columns = ["object_id", "pair_id", "example_id", "image_id", "anchor_image_id"]
    rows = read_texts(store.files, path, [*columns, "other_image_id", "images"])
    keys = [name for name in columns[:3] if name in rows.column_names]
    if not keys:
        return set()
    about = pa.array(sorted(photos), pa.string())
    of_photo = pa.array([False] * rows.num_rows, pa.bool_())
    for name in ("image_id", "anchor_image_id", "other_image_id"):
        if name in rows.column_names:
            of_photo = pc.or_(of_photo, pc.is_in(rows[name].combine_chunks(), about))
    found = set(rows[keys[0]].filter(of_photo).to_pylist())
    if "images" in rows.column_names and keys[0] == "example_id":
        shown = zip(rows["example_id"].to_pylist(), rows["images"].to_pylist(), strict=True)
        found |= {key for key, images in shown if _shows(images or (), photos)}
    return found


def _shows(images: Iterable[Any], photos: Collection[str]) -> bool:
    """Whether pictures of an example are of these photos; an export may say no ids of them."""
    return any(isinstance(i, dict) and i.get("image_id") in photos for i in images)


def _holds(store: Store, forgotten: Forgotten, ids: Collection[str], path: str) -> bool:
    """Whether a file has one of these ids, or an address or an identity that is forgotten."""
    wanted = pa.array(sorted(ids), pa.string())
    with store.files.open(path) as handle:
        footer = pq.read_metadata(handle).metadata or {}
    for text in _footer_texts(footer):
        subject = subject_of(text)
        if subject in ids or forgotten.has_id(subject) or _is_forgotten_address(text, forgotten):
            return True
    rows = read_texts(store.files, path)
    for name in rows.column_names:
        for values in _texts(rows[name].combine_chunks(), name):
            column, texts = values
            if pc.any(pc.is_in(texts, wanted)).as_py():
                return True
            different = texts.drop_null().unique().to_pylist()
            # A decision on a box names its photo, then its edges.
            if column == "subject_id" and any(t.partition(":")[0] in ids for t in different):
                return True
            if any(_is_forgotten_address(text, forgotten) for text in different):
                return True
            if column in IDENTITIES and any(forgotten.has(None, (), [t]) for t in different):
                return True
    return False


def _mentions(store: Store, forgotten: Forgotten, path: str) -> bool:
    """Whether a table has the name of a forgotten identity in a text about photos.

    Texts of rows with references are not read: their names are invented.
    """
    if not forgotten.names:
        return False
    rows = read_texts(store.files, path)
    return "references" not in rows.column_names and any(
        forgotten.mentioned(text)
        for name in rows.column_names
        for column, texts in _texts(rows[name].combine_chunks(), name)
        if column in SAID
        for text in texts.drop_null().unique().to_pylist()
    )


def read_texts(files: Files, path: str, columns: Iterable[str] | None = None) -> pa.Table:
    """The columns of a Parquet file that hold texts; only these, if any are given.

    Raises:
        DamagedError: it cannot be read.
    """
    try:
        with files.open(path) as handle:
            parquet = pq.ParquetFile(handle)
            schema = parquet.schema_arrow
            names = [f.name for f in schema if any(True for _ in _texts(_empty(f.type), f.name))]
            wanted = [n for n in names if columns is None or n in columns]
            return parquet.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(files.full(path), f"{intact.UNREADABLE}: {error}") from error


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind)


def _texts(values: pa.Array, name: str) -> Iterator[tuple[str, pa.Array]]:
    """The texts in a column at any depth, with the name of the innermost field."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield name, values.cast(pa.string())
    elif pa.types.is_map(kind):
        yield from _texts(values.keys, name)
        yield from _texts(values.items, name)
    elif pa.types.is_struct(kind):
        for field_of, inner in zip(kind, values.flatten(), strict=True):
            yield from _texts(inner, field_of.name)
    elif pa.types.is_nested(kind):
        yield from _texts(values.flatten(), name)


def _footer_texts(footer: dict[bytes, bytes]) -> Iterator[str]:
    """Keys that a part covers, and all texts of its note."""
    waiting: list[Any] = []
    for name in (COVERS, NOTE):
        try:
            waiting.append(json.loads(footer.get(name) or b"null"))
        except ValueError:  # of no part of ours
            continue
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


def _is_forgotten_address(text: str, forgotten: Forgotten) -> bool:
    return "://" in text and forgotten.has(None, [text])


def _given(identity: str | None) -> list[str]:
    return [identity] if identity else []


def _named(store: Store, held: set[str], saying: set[str], ids: frozenset[str]) -> Remains:
    """The versions of the files that hold something, what was made from them, and the mentions."""
    gone = withdrawn.find(store.files)
    manifests = {m.ref: m for m in store.manifests() if m.ref not in gone}
    telling = {ref for ref, m in manifests.items() if _paths(m) & held}
    holders = {ref for ref in telling if manifests[ref].kind != "checkpoint"}
    holders |= {ref for ref, m in manifests.items() if m.kind == "dataset" and _uses(m, holders)}
    checkpoints = telling - holders
    while (
        more := {
            ref
            for ref, m in manifests.items()
            if m.kind == "checkpoint" and _uses(m, holders | checkpoints | gone)
        }
        - checkpoints
    ):
        checkpoints |= more
    holders |= {ref for ref, m in manifests.items() if m.kind == "report" and _uses(m, holders)}
    latest = store.current().of("dataset").latest
    current: set[ArtifactRef] = set()
    if latest and (dataset := manifests.get(ArtifactRef.exact("dataset", latest))):
        current = {dataset.ref, *(bound.ref for bound in dataset.inputs)} & holders
    named = {path for m in manifests.values() for path in _paths(m)}
    mention = {ref for ref, m in manifests.items() if _paths(m) & saying} - holders - checkpoints
    ours = {path for path in held if path.startswith(OURS)}
    told = {path for path in held if path.startswith("manifests/")}
    return Remains(
        versions=_sorted(holders),
        current=_sorted(current),
        checkpoints=_sorted(checkpoints),
        kept=tuple(sorted(ours - named - told)),
        manifests=tuple(sorted(told)),
        foreign=tuple(sorted(held - ours)),
        mentions=(*_sorted(mention), *sorted(saying - named)),
        ids=ids,
    )


def _paths(manifest: Manifest) -> set[str]:
    """Paths of its rows and files."""
    return {shard.path for shard in manifest.shards} | {file.path for file in manifest.files}


def _uses(manifest: Manifest, versions: Collection[ArtifactRef]) -> bool:
    return any(bound.ref in versions for bound in manifest.inputs)


def _sorted(refs: Iterable[ArtifactRef]) -> tuple[str, ...]:
    return tuple(str(ref) for ref in sorted(refs, key=lambda ref: (ref.name, ref.version or 0)))
