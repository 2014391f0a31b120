"""One export: the rows and photos that a target writes, one after the other, and what is counted.

Rows come from the store in batches and pictures one row at a time, so memory does not grow with the
data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.errors import TargetError
from repic.export import row_check
from repic.export.chat import ChatRow
from repic.export.pictures import ExportPicture, PictureWriter
from repic.export.target import SPLITS, ExportOptions, TargetFacts
from repic.images.fetch import ImageRefused
from repic.objectives.base import Row

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from storage.manifest import Manifest
    from storage.store import Store

NO_ROW = "it is no row that a build writes"
SHOWN = 3
"""Rows that are named for each reason of leaving out."""

SORTED_AT_ONCE = 1 << 16
"""Examples that are in memory at once, in columns; more are read range after range of their ids."""

BATCH = 1024
"""Of these, examples that are Python objects."""


@dataclass(frozen=True)
class ExportTarget:
    """A target.

    Attributes:
        write: Writes the rows of a job into its folder, and returns metadata for the head of the
            card (`README.md`), as YAML values.
    """

    name: str
    facts: TargetFacts
    write: Callable[[ExportJob], Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True)
class ExportSource:
    """The tables of a version.

    Attributes:
        manifest: The version that was asked for.
        tables: Name -> table: those that a dataset binds, or an examples version and its inputs.
    """

    store: Store
    manifest: Manifest
    tables: Mapping[str, Manifest]

    @classmethod
    def of(cls, store: Store, ref: str) -> ExportSource:
        """The tables of `examples@v3` or `dataset@latest`.

        Raises:
            TargetError: the version is neither.
            storage.errors.StoreError: there is no such version.
        """
        manifest = store.manifest(ref)
        tables = {bound.name: store.manifest(bound.ref) for bound in manifest.inputs}
        if manifest.kind == "table" and manifest.name == "examples":
            tables["examples"] = manifest
        elif manifest.kind != "dataset" or "examples" not in tables:
            raise TargetError(
                f"{manifest.ref} is a {manifest.kind} without examples: export dataset@latest, "
                "examples@latest or a checkpoint"
            )
        return cls(store, manifest, tables)

    @property
    def examples(self) -> Manifest:
        """The examples version."""
        return self.tables["examples"]

    def table(self, name: str) -> Manifest:
        """A table of the version.

        Raises:
            TargetError: it has no such table, as an imported one.
        """
        if name not in self.tables:
            raise TargetError(
                f"{self.manifest.ref} has no table {name}, which this target holds: export a "
                "dataset that `repic build` has published"
            )
        return self.tables[name]

    def rows(
        self, name: str, columns: list[str] | None = None, filter: pc.Expression | None = None
    ) -> Iterator[Row]:
        """Rows of a table, read in batches."""
        for batch in self.store.batches(self.table(name).ref, columns, filter):
            yield from batch.to_pylist()

    def ordered_examples(self, filter: pc.Expression | None = None) -> Iterator[Row]:
        """The examples by id. Their order in a store is that of the files of its earlier builds,
        photo after photo; by id they are mixed, and the same in any store."""
        import pyarrow.compute as pc

        key, ref = pc.field("example_id"), self.examples.ref
        ids = self.store.read(ref, ["example_id"], filter)["example_id"].sort()
        for start in range(0, len(ids), SORTED_AT_ONCE):
            block = ids.slice(start, SORTED_AT_ONCE)
            wanted = (key >= block[0]) & (key <= block[-1])
            rows = self.store.read(ref, filter=wanted if filter is None else wanted & filter)
            for batch in rows.sort_by("example_id").to_batches(BATCH):
                yield from batch.to_pylist()


@dataclass
class ExportCounts:
    """What an export has written.

    Attributes:
        rows: Number by (split, objective); of photos by (split, "photos").
        left_out: Number by reason.
        named: The first ids of each reason.
        photos: Ids of all photos that are shown.
        objects: Ids of all objects that are named.
        names: Names in the prompts.
    """

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    photos: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


class ExportJob:
    """What a target needs to write: `folder`, `options`, rows and counts."""

    def __init__(
        self,
        source: ExportSource,
        target: ExportTarget,
        folder: Path,
        options: ExportOptions,
        advance: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Args: advance: Called with 1 after each row.

        Raises:
            TargetError: the target cannot hold pictures or rows as the options want them.
        """
        _check(target, options)
        self.source = source
        self.target = target
        self.folder = folder
        self.options = options
        self.counts = ExportCounts()
        mode = options.pictures or target.facts.pictures[0]
        self.pictures = PictureWriter(folder, mode, options.keep_exif)
        self._advance = advance

    @property
    def filter(self) -> pc.Expression | None:
        """The rows of the examples that are wanted."""
        import pyarrow.compute as pc

        wanted = [("split", self.options.splits), ("objective", self.options.objectives)]
        parts = [pc.field(name).isin([*values]) for name, values in wanted if values]
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] & parts[1]

    def total(self) -> int:
        """The number of rows that `rows` or `photos` reads."""
        source, held = self.source, self.target.facts.holds
        if held != "examples" or self.filter is None:
            return source.table(held).rows
        batches = source.store.batches(source.examples.ref, ["split"], self.filter)
        return sum(batch.num_rows for batch in batches)

    def rows(self, unfit: Callable[[ChatRow], str | None] = lambda chat: None) -> Iterator[ChatRow]:
        """The rows by id, with their pictures; those whose pictures cannot be read are left out.

        Args:
            unfit: Why the target cannot hold a row, which is then left out; asked before its
                pictures are exported.
        """
        for row in self.source.ordered_examples(self.filter):
            chat = ChatRow(row, (), self.options.convention)
            # A store that somebody else made may have rows that name files elsewhere.
            reason = NO_ROW if row_check.fault(row) else unfit(chat)
            if reason:
                self._left_out(row["example_id"], reason)
            elif (exported := self._export(row["example_id"], row["images"])) is not None:
                self.count(row["split"], row["objective"])
                self.counts.photos.update(picture["image_id"] for picture in row["images"])
                self.counts.objects.update(known["object_id"] for known in row["references"])
                self.counts.names.update(known["name"] for known in row["references"])
                yield replace(chat, pictures=exported)
            self._advance(1)

    def picture(self, key: str, entry: Mapping[str, Any]) -> ExportPicture | None:
        """A picture by its entry; None if it cannot be read, which leaves `key` out."""
        exported = self._export(key, [entry])
        return exported[0] if exported else None

    def advance(self) -> None:
        """Say that a photo is done."""
        self._advance(1)

    def count(self, split: str, kind: str) -> None:
        """Count a row that is written."""
        self.counts.rows[split, kind] += 1

    def _export(self, key: str, entries: list[Any]) -> tuple[ExportPicture, ...] | None:
        try:
            return tuple(self.pictures.export(entry) for entry in entries)
        except ImageRefused as error:
            self._left_out(key, f"a picture cannot be read ({error.reason})")
        except OSError as error:
            self._left_out(key, f"a picture cannot be read ({error.strerror or error})")
        return None

    def _left_out(self, key: str, reason: str) -> None:
        self.counts.left_out[reason] += 1
        named = self.counts.named.setdefault(reason, [])
        if len(named) < SHOWN:
            named.append(key)


def _check(target: ExportTarget, options: ExportOptions) -> None:
    facts = target.facts
    if options.pictures and options.pictures not in facts.pictures:
        raise TargetError(
            f"{target.name} does not hold pictures by {options.pictures}: choose "
            f"{' or '.join(facts.pictures)}"
        )
    if facts.holds == "images" and (options.objectives or options.splits):
        raise TargetError(
            f"{target.name} holds photos and boxes, not examples: leave out --split and --objective"
        )
    if unknown := sorted(set(options.splits) - set(SPLITS)):
        raise TargetError(f"there is no split {unknown[0]}: choose {', '.join(SPLITS)}")
