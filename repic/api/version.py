"""One version of a table, dataset, checkpoint or evaluation, read in every form."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.errors import DataError

if TYPE_CHECKING:
    import datasets
    import duckdb
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    from repic.api.rows import Example
    from repic.api.torch_rows import TorchRows
    from storage.manifest import Manifest
    from storage.store import Store

BATCH = 256
"""Rows that are converted at a time."""


class Version:
    """One version of a table, dataset, checkpoint or evaluation; immutable.

    A dataset or an evaluation binds tables, which are versions as well:
    `store["dataset@latest"]["pairs"]`.

    Examples:
        >>> examples = repic.open("demo/store")["examples@latest"]
        >>> examples
        <table examples@v1, ... rows>
        >>> for row in examples:
        ...     if row.objective == "oct":
        ...         break
        >>> row.references[0].picture.mode, row.query.size == row.query.picture.size
        ('RGB', True)
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

    @property
    def schema(self) -> pa.Schema:
        """Columns and types of a table; empty for any other version."""
        import pyarrow as pa

        return self.manifest.schema_arrow if self.manifest.arrow_schema else pa.schema([])

    @property
    def docs(self) -> dict[str, str]:
        """Column -> the sentence that documents it.

        Examples:
            >>> repic.open("demo/store")["examples@latest"].docs["split"]
            'train, validation or test.'
        """
        return {f.name: (f.metadata or {}).get(b"doc", b"").decode() for f in self.schema}

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

    def to_pandas(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
    ) -> pd.DataFrame:
        """The same as a data frame.

        Examples:
            >>> frame = repic.open("demo/store")["examples@latest"].to_pandas(["objective", "kind"])
            >>> sorted(frame.objective.unique())
            ['ict', 'oct', 'vlt']

        Raises:
            storage.errors.StoreError: as `to_arrow`.
        """
        return self.to_arrow(columns, filter).to_pandas()

    def to_datasets(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
    ) -> datasets.Dataset:
        """The rows of a table as a `datasets.Dataset` with typed features.

        `images` of examples, captions and answers are the pictures as a model sees them, read from
        where the photos are when a row is looked at; what the column of the table holds is in
        `image_facts`. Photos (`images@latest`) have their picture in `image`.

        Examples:
            >>> rows = repic.open("demo/store")["examples@latest"].to_datasets()
            >>> rows[0]["images"][-1]
            <PIL.Image.Image image mode=RGB size=...>
            >>> rows.features["references"].feature["present"]
            Value('bool')

        Raises:
            storage.errors.StoreError: as `to_arrow`.
            repic.errors.PictureError: of a row that is looked at, if a photo is gone.
        """
        from repic.export.features import dataset
        from storage.hashing import fingerprint

        rows = self.to_arrow(columns, filter)
        chosen = [self.manifest.content, list(columns or ()), str(filter)]
        return dataset(rows, fingerprint(chosen))

    def to_dataset_dict(self, columns: Sequence[str] | None = None) -> datasets.DatasetDict:
        """As `to_datasets`, one dataset for each split.

        Examples:
            >>> sorted(repic.open("demo/store")["examples@latest"].to_dataset_dict())
            ['test', 'train', 'validation']

        Raises:
            DataError: the table has no splits.
            storage.errors.StoreError: as `to_arrow`.
        """
        import datasets
        import pyarrow.compute as pc

        if "split" not in self.schema.names:
            raise DataError(f"{self.ref} has no column split: use to_datasets()")
        found = set(self.to_arrow(["split"])["split"].to_pylist())
        names = [name for name in ("train", "validation", "test") if name in found]
        return datasets.DatasetDict(
            {name: self.to_datasets(columns, pc.field("split") == name) for name in names}
        )

    def to_torch(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
    ) -> TorchRows:
        """The rows of a table for `torch.utils.data.DataLoader`, also with workers.

        Numbers are tensors and pictures are PIL pictures; see `TorchRows`.

        Examples:
            >>> from torch.utils.data import DataLoader
            >>> rows = repic.open("demo/store")["examples@latest"].to_torch(["images", "seed"])
            >>> batch = next(iter(DataLoader(rows, batch_size=4, collate_fn=rows.collate)))
            >>> batch["seed"].shape, len(batch["images"])
            (torch.Size([4]), 4)

        Raises:
            storage.errors.StoreError: as `to_arrow`.
        """
        from repic.api.torch_rows import TorchRows

        return TorchRows(self.to_datasets(columns, filter))

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query over this table, or over the bound tables, by name.

        Examples:
            >>> examples = repic.open("demo/store")["examples@v1"]
            >>> examples.sql("select distinct objective from examples order by all").fetchall()
            [('ict',), ('oct',), ('vlt',)]

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
        for batch in self.to_arrow().to_batches(max_chunksize=BATCH):
            yield from batch.to_pylist()

    def __iter__(self) -> Iterator[Example]:
        """The training examples as typed rows with pictures, one after the other.

        Raises:
            DataError: this is no version of examples.
        """
        from repic.api.rows import Example

        if self.manifest.kind != "table" or self.manifest.name != "examples":
            other = '["examples"]' if "examples" in self.tables else ".rows"
            raise DataError(f"{self.ref} has no rows of examples: use version{other}")
        return (Example.of(row) for row in self.rows)

    def files(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the files of a checkpoint or report into a folder.

        Raises:
            storage.errors.StoreError: this version has no files.
        """
        return self._store.checkout(self.manifest.ref, folder)

    def __len__(self) -> int:
        return self.manifest.rows

    def __bool__(self) -> bool:
        return True  # also without rows: `train` returns a version or None

    def __repr__(self) -> str:
        return f"<{self.manifest.kind} {self.ref}, {self.manifest.rows} rows>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the columns of a table, or the bound versions."""
        from html import escape

        def line(*cells: object) -> str:
            return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"

        if self.manifest.kind == "table":
            lines = [line(f.name, f.type, self.docs[f.name]) for f in self.schema]
        else:
            lines = [line(bound.name, bound.ref) for bound in self.manifest.inputs]
        return f"<p>{escape(repr(self))}</p><table>{''.join(lines)}</table>"


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
