"""Cost of what reads all versions of a store: the catalog, SQL, status, verify, gc and repair.

    python benchmarks/many_versions.py                # 500 datasets of ten tables: 5,000 versions
    python benchmarks/many_versions.py --datasets 100

A few versions are published; the others are copies of their manifests, each with a fingerprint of
its own. `first` is a process that has read no manifest yet, `again` the same process after one more
commit, as in a build. `client` opens the file with plain DuckDB.

Exact: the catalog has all versions and the rows of recent ones; SQL on the oldest version, which
has no schema in the file, gives its rows; `verify` finds nothing, and gc and repair have nothing
to do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from repic.pipeline import catalog, status
from storage import documents, refs, repair
from storage.catalog import RECENT
from storage.gc import gc
from storage.integrity import verify
from storage.manifest import ArtifactRef, Manifest, Origin
from storage.reader import manifest_path
from storage.store import Store

COLUMNS, ROWS, PUBLISHED = 12, 10, 3


def rows(number: int) -> pa.Table:
    """A table of `COLUMNS` documented columns; `c1` says the version."""
    columns = {f"c{i}": [f"{number}-{i}-{row}" for row in range(ROWS)] for i in range(COLUMNS)}
    columns |= {"c1": [str(number)] * ROWS, "error": [""] * ROWS}
    fields = [
        pa.field(name, pa.string(), metadata={"doc": f"What {name} is, in a sentence of its own."})
        for name in columns
    ]
    return pa.table(columns, schema=pa.schema(fields))


def publish(store: Store, number: int, tables: int) -> None:
    """Publish and commit a dataset of some tables."""
    names = ["images", "quarantine", *(f"table{i}" for i in range(tables))][:tables]
    made = [
        store.publish(name, rows(number), Origin(fingerprint=f"{name}-{number}"), key=["c0"])
        for name in names
    ]
    bound = tuple(manifest.as_input() for manifest in made)
    origin = Origin(fingerprint=f"dataset-{number}", inputs=bound)
    every = [*made, store.publish_dataset("dataset", origin)]
    store.commit({manifest.name: manifest.version for manifest in every})


def fill(store: Store, until: int) -> None:
    """Copy the manifests of the newest dataset and its tables up to this number."""
    snapshot = store.current()
    newest = [store.manifest(f"{name}@v{ref.latest}") for name, ref in snapshot.refs.items()]
    for number in range(newest[0].version + 1, until + 1):
        for manifest in newest:
            copied = _copy(manifest, number)
            path = Path(store.files.full(manifest_path(copied.name, number)))
            path.write_bytes(documents.encode(copied))
    moved = {name: ref.moved("latest", until) for name, ref in snapshot.refs.items()}
    after = snapshot.model_copy(update={"number": snapshot.number + 1, "refs": moved})
    Path(store.files.full(refs.path(after.number))).write_bytes(documents.encode(after))


def _copy(manifest: Manifest, number: int) -> Manifest:
    inputs = tuple(
        bound.model_copy(update={"version": number, "fingerprint": f"{bound.name}-{number}"})
        for bound in manifest.inputs
    )
    fingerprint = f"{manifest.name}-{number}"
    return manifest.model_copy(
        update={"version": number, "fingerprint": fingerprint, "inputs": inputs}
    )


def timed(figures: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """The result of a call, whose wall seconds become a figure; also prints processor seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    figures[name] = time.perf_counter() - start
    print(f"{name:32} {figures[name]:8.3f} CPU {time.process_time() - cpu:8.3f}", flush=True)
    return result


def measure(location: Path, datasets: int, tables: int) -> tuple[dict[str, float], list[str]]:
    """Figures, and what is not exact."""
    figures: dict[str, float] = {}
    wrong: list[str] = []

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            wrong.append(f"{what}: {found}, not {wanted}")

    store = Store.open(location, create=True)
    for number in range(1, PUBLISHED + 1):
        publish(store, number, tables)
    timed(figures, f"catalog of {PUBLISHED} datasets, s", lambda: catalog.refresh(store))
    fill(store, datasets - 1)
    fresh = Store.open(location)
    timed(figures, "catalog, first, s", lambda: catalog.refresh(fresh))
    publish(fresh, datasets, tables)
    path = timed(figures, "catalog, again, s", lambda: catalog.refresh(fresh))
    figures["file, MB"] = path.stat().st_size / 1e6
    client = timed(figures, "client, s", lambda: duckdb.connect(str(path), read_only=True))
    with client:
        found = client.execute("SELECT count(*) FROM artifacts").fetchone()
        expect("versions in the catalog", found, (datasets * (tables + 1),))
        for number in (datasets, max(1, datasets - RECENT + 1)):
            query = f"SELECT any_value(c1), count(*) FROM v{number}.images"
            wanted = str(number if number in (1, 2, datasets) else PUBLISHED)
            expect(f"v{number}", client.execute(query).fetchone(), (wanted, ROWS))
    query = "SELECT any_value(c1), count(*) FROM v1.images"

    def ask(text: str) -> tuple[Any, ...]:
        opened = Store.open(location)
        return catalog.ask(opened, catalog.connect(opened, text), text).fetchall()[0]

    expect("sql", timed(figures, "sql, s", lambda: ask(query.replace("v1", "main")))[1], ROWS)
    expect("sql of v1", timed(figures, "sql of the oldest, s", lambda: ask(query)), ("1", ROWS))
    timed(figures, "status, s", lambda: status.read(Store.open(location)))
    expect("verify", timed(figures, "verify, s", lambda: verify(Store.open(location))), [])
    expect("repair", timed(figures, "repair, s", lambda: repair.mend(Store.open(location))), [])
    garbage = timed(figures, "gc, s", lambda: gc(Store.open(location)))
    expect("gc", [file.path for file in garbage.files], [])
    expect(
        "latest", Store.open(location).resolve("dataset"), ArtifactRef.exact("dataset", datasets)
    )
    return figures, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=500, help="versions (%(default)s)")
    parser.add_argument("--tables", type=int, default=10, help="of each dataset (%(default)s)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default temporary")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        figures, wrong = measure(Path(name) / "store", options.datasets, options.tables)
    print(f"exact: {'; '.join(wrong) or 'yes'}")
    if options.json:
        print(json.dumps({"figures": figures, "exact": not wrong}))
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
