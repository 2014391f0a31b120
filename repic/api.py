"""The Python API behind `import repic`: a store and its versions, and one function per command."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic import config
from repic.config import Settings
from repic.errors import ConfigError

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc

    from repic.evaluation.single_photo import PhotoCaption
    from repic.objectives.base import Mode, Reward
    from repic.rewards.wrappers import Wrapper
    from storage.manifest import Manifest
    from storage.store import Store

DEFAULT_STORE = "repic-store"


class DataStore:
    """A store of versions.

    Example:
        >>> store = repic.open("repic-store")
        >>> store["examples@latest"].to_arrow(["objective", "answer"])
        >>> store.sql("select objective, count(*) from examples group by all")
    """

    def __init__(self, store: Store) -> None:
        """Use `repic.open`."""
        self._store = store

    @property
    def location(self) -> str:
        """Folder or URL of the store."""
        return self._store.location

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        return self._store.names()

    def versions(self, name: str) -> list[str]:
        """Exact references of all versions of an artifact, oldest first."""
        return [f"{name}@v{number}" for number in self._store.versions(name)]

    def __getitem__(self, ref: str) -> Version:
        """One version: `examples@latest`, `dataset@v3` or `checkpoint@production`.

        Raises:
            storage.errors.NotFoundError: there is no such version; the message lists what exists.
        """
        return Version(self._store, self._store.manifest(ref))

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query that reads the tables of the latest dataset, or `v3.pairs` of version 3; lazy.

        Raises:
            storage.errors.QueryError: the query is not valid, or changes something.
            storage.errors.NotFoundError: it names a table, and nothing is published yet.
        """
        from repic.pipeline.catalog import ask, connect

        return ask(self._store, connect(self._store, query), query)

    def __repr__(self) -> str:
        return f"repic.open({self.location!r})"


class Version:
    """One version of a table, dataset, checkpoint or evaluation; immutable.

    A dataset or an evaluation binds tables, which are versions as well:
    `store["dataset@latest"]["pairs"]`.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        """Use `repic.open(...)[ref]`."""
        self._store = store
        self.manifest = manifest
        """Settings, inputs, models and sources that the version was made from."""

    @property
    def ref(self) -> str:
        """The exact reference, such as `examples@v3`."""
        return str(self.manifest.ref)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the bound tables."""
        return tuple(bound.name for bound in self.manifest.inputs)

    def __getitem__(self, table: str) -> Version:
        """A bound table.

        Raises:
            KeyError: this version does not bind it.
        """
        bound = {bound.name: bound.ref for bound in self.manifest.inputs}
        if table not in bound:
            raise KeyError(f"{self.ref} binds no {table}: it has {', '.join(bound) or 'no tables'}")
        return Version(self._store, self._store.manifest(bound[table]))

    def to_arrow(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
    ) -> pa.Table:
        """The rows of a table as Arrow, or only some columns and rows.

        Raises:
            storage.errors.StoreError: this version is not a table, or a column is unknown.
        """
        return self._store.read(self.manifest.ref, columns, filter)

    def to_datasets(self, columns: Sequence[str] | None = None) -> datasets.Dataset:
        """The rows of a table as a `datasets.Dataset` around the Arrow data, without a copy.

        Raises:
            storage.errors.StoreError: this version is not a table, or a column is unknown.
        """
        return self._store.dataset(self.manifest.ref, columns)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query over this table, or over the bound tables, by name.

        Example:
            >>> store["examples@v3"].sql("select kind, count(*) from examples group by kind")

        Raises:
            storage.errors.QueryError: the query is not valid, or changes something.
        """
        if self.manifest.kind == "table":
            return _query(self._store, {self.manifest.name: self.manifest}, query)
        bound = {b.name: self._store.manifest(b.ref) for b in self.manifest.inputs}
        return _query(self._store, bound, query)

    @property
    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of a table as dictionaries, one after the other."""
        for batch in self.to_arrow().to_batches(max_chunksize=1024):
            yield from batch.to_pylist()

    def files(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the files of a checkpoint or report into a folder.

        Raises:
            storage.errors.StoreError: this version has no files.
        """
        return self._store.checkout(self.manifest.ref, folder)

    def __len__(self) -> int:
        return self.manifest.rows

    def __repr__(self) -> str:
        return f"<{self.manifest.kind} {self.ref}, {self.manifest.rows} rows>"


def open(store: str | os.PathLike[str] = DEFAULT_STORE) -> DataStore:
    """Open an existing store.

    Args:
        store: Folder or fsspec URL.

    Raises:
        storage.errors.NotFoundError: the store does not exist.
    """
    return DataStore(_opened(store, create=False))


def build(
    images: str | os.PathLike[str] | None = None,
    *,
    sources: Sequence[str] = (),
    profile: str | None = None,
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    allow_shrink: bool = False,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Version:
    """Build one dataset version, computing only what is missing; as `repic build`.

    Args:
        images: Folder or URL of photos.
        sources: Instead of `images`: `KIND:PATH` each, such as `coco:instances.json`.
        profile: Profile name or YAML file; by default `photos` with images or sources, else
            `sample`.
        overrides: Changes such as `examples.ict.max_references=3`.
        settings: Instead of the four above.
        allow_shrink: Publish also if most photos or rows of the last version, or an objective,
            are lost.
        store: Folder or URL; created if it does not exist.

    Returns:
        The dataset version, new or unchanged.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.pipeline.execution import build as run
    from repic.pipeline.execution import open_and_scan
    from repic.pipeline.scan import scan

    if settings is None:
        folder = os.fspath(images) if images is not None else None
        values = config.chosen_sources(folder, sources)
        default = "photos" if folder or sources else "sample"
        chosen = config.load(profile or default, overrides, scope=config.BUILD, **values)
    elif images is not None or sources or profile is not None or overrides:
        raise ConfigError("give settings, or images, sources, profile and overrides; not both")
    else:
        chosen = settings
    opened, kept, scanned = open_and_scan(_expanded(store), chosen, scan)
    return Version(opened, run(kept, opened, scanned, allow_shrink=allow_shrink).dataset)


def train(
    dataset: str = "examples@latest",
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Version | None:
    """Train on a dataset version and publish a checkpoint; as `repic train`.

    The same call resumes an interrupted run.

    Returns:
        The checkpoint version; None in a process of `accelerate launch` that is not the main one.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.training.run import train as run

    settings = settings or config.load(profile, overrides, scope=config.TRAIN)
    opened = _opened(store, create=False)
    result = run(settings, opened, dataset)
    return None if result is None else Version(opened, result.checkpoint)


def evaluate(
    model: str,
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    settings: Settings | None = None,
    store: str | os.PathLike[str] = DEFAULT_STORE,
) -> Version:
    """Caption a suite with a model and publish captions and metrics; as `repic evaluate run`.

    Args:
        model: `checkpoint@v1`, `sample-base`, a folder or a hub name.

    Returns:
        The evaluation version: `evaluate(...)["metrics"].to_arrow()`.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.evaluation.run import run

    settings = settings or config.load(profile, overrides, scope=config.EVALUATE)
    opened = _opened(store, create=True)
    return Version(opened, run(model, settings, opened).manifest)


def score(
    completion: str,
    row: Mapping[str, Any],
    *,
    mode: Mode = "strict",
    convention: str = "qwen3-vl",
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    strip: Collection[Wrapper] = (),
) -> Reward:
    """The reward of a completion, from 0 to 1, with its components and the reason.

    Args:
        row: A row of the examples table.
        mode: `strict`, or `paper` for the rewards that the paper released.
        convention: How the model writes boxes: qwen3-vl, qwen2.5-vl, qwen2-vl, internvl or
            normalised.
        min_pixels: qwen2.5-vl: least pixels (area) of a photo as its processor resizes it.
        max_pixels: qwen2.5-vl: most pixels, likewise.
        strip: Wrappers that are no part of the answer.

    Raises:
        repic.errors.RowError: the row cannot be scored.
        repic.errors.ConfigError: there is no such convention, or its limits are missing.

    Example:
        >>> row = next(repic.open("demo/store")["examples@latest"].rows)
        >>> repic.score(row["answer"], row).total
        1.0
    """
    from repic.images.coordinates import CONVENTIONS, RESIZED, ConventionError, named_convention
    from repic.rewards.scoring import check_row
    from repic.rewards.scoring import score as reward_of

    if convention not in (known := [*CONVENTIONS, RESIZED]):
        raise ConfigError(
            f"there is no convention {convention!r}{config.nearest(convention, known)}"
        )
    try:
        units = named_convention(convention, min_pixels, max_pixels)
    except ConventionError as error:
        raise ConfigError(str(error)) from None
    check_row(row)
    return reward_of(completion, row, mode, units, strip=strip)


def caption(
    photo: str | os.PathLike[str],
    references: str | os.PathLike[str],
    model: str = "sample-full",
    *,
    profile: str = "sample",
    overrides: Sequence[str] = (),
    store: str | os.PathLike[str] | None = None,
) -> PhotoCaption:
    """Caption a photo with the names of references; as `repic caption`.

    Args:
        references: Folder of `Ann.jpg`, or of `Ann/` with several photos, for each name.
        model: `checkpoint@v1` (then `store` is required), a folder or a hub name.

    Raises:
        repic.errors.RepicError, storage.errors.StoreError: errors that the user can fix.
    """
    from repic.evaluation.single_photo import caption as run

    settings = config.load(profile, overrides, scope=config.EVALUATE)
    opened = _opened(store, create=False) if store is not None else None
    return run(Path(photo), Path(references), model, settings, opened)


def _expanded(store: str | os.PathLike[str]) -> str:
    return os.path.expanduser(os.fspath(store))


def _opened(store: str | os.PathLike[str], create: bool) -> Store:
    from repic.pipeline.catalog import open_store

    return open_store(_expanded(store), create=create)


def _query(store: Store, tables: Mapping[str, Manifest], query: str) -> duckdb.DuckDBPyRelation:
    from storage import sql

    connection = sql.connect(store.files)
    shards = []
    for name, manifest in tables.items():
        if manifest.kind == "table":
            store.relation(manifest.ref, connection).create_view(name)
            shards += [store.files.url(shard.path) for shard in manifest.shards]
    sql.restrict(connection, shards)
    return sql.ask(connection, query)
