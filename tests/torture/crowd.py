"""Eight writers, tags and gc at once, and four DuckDB readers of the catalogue all the while."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from repic.pipeline import catalog as product
from storage.catalog import catalog
from storage.gc import OLD_REFS, gc
from storage.integrity import verify
from storage.store import Store
from tests import duckdb_client
from tests.storage.stores import build as build_rows
from tests.storage.stores import rows
from tests.torture.oracle import told
from tests.torture.processes import Child, Outcome, begin, finish, forked
from tests.torture.record import Effort, Record
from tests.torture.world import World, content, expect, run

WRITERS, READERS, KINDS = 8, 4, 4
"""KINDS is the number of different builds; two writers make each."""

Member = Callable[[float], int]
"""Works until a time; returns how often."""

_NEW_PROCESSES, _NEW_MOUNTS, _PRIVATE = 0x20000000, 0x00020000, 0x44000


def on_local_disk(world: World, effort: Effort, record: Record, apart: bool) -> None:
    """The crowd on a local disk; with `apart`, every other member in a PID namespace of its own."""
    if apart and (reason := _no_namespace()):
        record.skipped = reason
        return
    store = world.trial("one")
    changes = [f"examples.seed={number}" for number in range(KINDS)]

    def writer(number: int) -> Member:
        def once(count: int) -> None:
            change = changes[(number + count) % KINDS]
            _do(world.build(None, change, f"splits.salt=w{count}"), store)

        return lambda until: _repeat(until, once)

    def tags(count: int) -> None:
        _do(("tag", "dataset@latest", f"t{count % 3}"), store)
        if count % 3 == 2:
            _do(("tag", "dataset", "t2", "--delete"), store)

    def collector(count: int) -> None:
        gc(product.open_store(str(store)), delete=True)
        time.sleep(0.2)

    members = [
        *(writer(number) for number in range(WRITERS)),
        lambda until: _repeat(until, tags),
        lambda until: _repeat(until, collector),
        *[lambda until: _repeat(until, lambda _: _read(store / "catalog.duckdb"))] * READERS,
    ]
    _together(members, effort, record, apart)
    for problem in told(forked(lambda: _whole(Store.open(store)))):
        record.count("at the end", [problem])
    for problem in told(forked(lambda: _same(world, store))):
        record.count("at the end", [problem])
    world.discard(store)


def on_s3(world: World, effort: Effort, record: Record) -> None:
    """The crowd on a local S3 server; each reader makes the catalogue that it reads."""
    port = world.folder / "port"
    server = begin(lambda: _serve(port))
    try:
        options = _bucket(port)
    except (ImportError, TimeoutError) as error:
        record.skipped = str(error)
        return

    def opened() -> Store:
        return Store.open("s3://bucket/store", create=True, storage_options=options)

    def writer(number: int) -> Member:
        def work(until: float) -> int:
            store = opened()
            return _repeat(
                until, lambda count: build_rows(store, 1000 * number + count, count % 7 + 3)
            )

        return work

    def tags(until: float) -> int:
        store = opened()
        return _repeat(until, lambda count: store.tag("dataset@latest", f"t{count % 3}"))

    def collector(until: float) -> int:
        store = opened()
        return _repeat(until, lambda _: gc(store, delete=True))

    def reader(number: int) -> Member:
        def work(until: float) -> int:
            store, path = opened(), world.folder / f"catalogue-{number}.duckdb"

            def once(_: int) -> None:
                catalog(store, path=path)
                _read(path, store, "images")

            return _repeat(until, once)

        return work

    expect(forked(lambda: build_rows(opened(), 0)))
    members = [
        *(writer(number) for number in range(1, WRITERS + 1)),
        *(tags, collector),
        *(reader(number) for number in range(READERS)),
    ]
    _together(members, effort, record, apart=False)
    for problem in told(forked(lambda: [*_whole(opened()), *_rows(opened())])):
        record.count("at the end", [problem])
    os.kill(server.pid, 9)
    finish(server)


def _together(members: Sequence[Member], effort: Effort, record: Record, apart: bool) -> None:
    until = time.time() + effort.times(15, 120, 120)
    works = [partial(member, until) for member in members]
    if apart:
        works[::2] = [partial(in_namespace, work) for work in works[::2]]
    children = [begin(work) for work in works]
    for number, child in enumerate(children):
        _count(record, number, child, until)


def _count(record: Record, number: int, child: Child, until: float) -> None:
    outcome = finish(child, until - time.time() + 600)
    if outcome.kind == "done":
        record.survived += outcome.value
    else:
        record.count(f"member {number}", [f"{outcome.kind} {outcome.error} {outcome.trace[-900:]}"])


def _repeat(until: float, once: Callable[[int], object]) -> int:
    count = 0
    while not count or time.time() < until:
        once(count)
        count += 1
    return count


def _do(arguments: tuple[str, ...], store: Path) -> None:
    code, said = run(arguments, store)
    if code:
        raise RuntimeError(said)


def _read(path: Path, store: Store | None = None, name: str = "examples") -> None:
    """Read all rows of a table through the catalogue, as any DuckDB client does."""
    with duckdb_client.opened(path) as connection:
        if store:
            connection.register_filesystem(store.files.fs)
        connection.execute(f"SELECT * FROM main.{name}").fetchall()
        connection.execute("SELECT name, version, content FROM artifacts").fetchall()
    time.sleep(0.05)


def _whole(store: Store) -> list[str]:
    """What is wrong with a store that nobody uses any more."""
    found = [f"verify: {problem}" for problem in verify(store)]
    for name in store.names():
        if store.versions(name) != list(range(1, len(store.versions(name)) + 1)):
            found.append(f"the versions of {name} have gaps")
    latest = {name: ref.latest for name, ref in store.current().refs.items()}
    for made in store.manifest("dataset@latest").inputs:
        if latest[made.name] != made.version:
            found.append(f"latest of {made.name} is of another build")
    garbage = gc(store, delete=True)
    if not garbage.deleted:
        found.append(f"gc is blocked: {', '.join(map(str, garbage.blocked_by))}")
    return found + [
        f"gc finds {file.path} ({file.reason})"
        for file in gc(store, delete=True).files
        if file.reason != OLD_REFS
    ]


def _same(world: World, store: Path) -> list[str]:
    """Whether the versions have what each build makes alone."""
    opened = Store.open(store)
    found = []
    for number in range(KINDS):
        changes = (f"examples.seed={number}", f"splits.salt=w{number}")
        fingerprint, alone = _built(world, changes)
        made = opened.find("dataset", fingerprint)
        if made and content(opened, str(made.ref)) != alone:
            found.append(f"{made.ref} has other content than a build alone")
        if not made and not number:  # the first build of the first writer
            found.append("the dataset of the first build is not there")
    return found


def _rows(store: Store) -> list[str]:
    """Whether each version of the made-up tables has its rows."""
    return [
        f"images@v{number} has other rows"
        for number in store.versions("images")
        if not (read := store.read(f"images@v{number}")).equals(rows(0, read.num_rows))
    ]


def _built(world: World, changes: tuple[str, ...]) -> tuple[str, str]:
    """Fingerprint and content of a build in a store of its own."""
    store = world.trial("one")
    run(world.build(None, *changes), store)
    opened = Store.open(store)
    result = opened.manifest("dataset@latest").fingerprint, content(opened, "dataset@latest")
    world.discard(store)
    return result


def in_namespace(function: Callable[[], object]) -> object:
    """Run a function as the first process of a PID namespace of its own, with its own /proc."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_PROCESSES | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(b"none", b"/", None, _PRIVATE, None)

    def inside() -> object:
        libc.mount(b"proc", b"/proc", b"proc", 0, None)
        return function()

    return expect(finish(begin(inside), 1200))


def _no_namespace() -> str:
    outcome: Outcome = forked(lambda: in_namespace(os.getpid))
    return "" if outcome.value == 1 else f"PID namespaces need privileges ({outcome.error})"


def _serve(port: Path) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    port.with_suffix(".new").write_text(str(server.get_host_and_port()[1]))
    port.with_suffix(".new").rename(port)
    time.sleep(3600)


def _bucket(port: Path) -> dict[str, object]:
    until = time.time() + 240
    while not port.exists():
        if time.time() > until:
            raise TimeoutError("the S3 server does not start; it needs the package moto")
        time.sleep(0.1)
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{port.read_text()}"}

    def make() -> None:
        import s3fs

        s3fs.S3FileSystem(**options).mkdir("bucket")

    expect(forked(make))
    return options
