"""Commands about versions: log, show, diff, lineage, verify, tag, gc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
    size,
)

if TYPE_CHECKING:
    from storage.manifest import Manifest
    from storage.store import Store

RefArgument = Annotated[str, typer.Argument(help="name@v3, name@latest or name@TAG.")]


def add_to(app: typer.Typer) -> None:
    for command in (log, show, diff, lineage, verify, tag, gc):
        app.command()(command)


def log(
    name: Annotated[str, typer.Argument(help="Artifact: dataset, examples, pairs ...")] = "dataset",
    limit: Annotated[int, typer.Option(min=1, help="Newest versions to show.")] = 20,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Versions of an artifact, the newest first.

    Example: repic log examples --limit 5
    """
    opened = open_store(store)
    opened.resolve(f"{name}@latest")  # says what exists, if this does not
    ref = opened.current().of(name)
    shown = [opened.manifest(f"{name}@v{v}") for v in reversed(opened.versions(name)[-limit:])]
    if as_json:
        print_json([_summary(manifest) for manifest in shown])
        return
    print_rows(
        ["version", "refs", "rows", "size", "created", "by", "content"],
        [
            (
                str(m.ref),
                ", ".join(
                    (["latest"] if ref.latest == m.version else [])
                    + sorted(tag for tag, version in ref.tags.items() if version == m.version)
                ),
                m.rows,
                size(m.bytes),
                f"{m.created:%Y-%m-%d %H:%M:%S}",
                f"{m.run.user}@{m.run.host}",
                m.content[:12],
            )
            for m in shown
        ],
    )


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "kind": manifest.kind,
        "fingerprint": manifest.fingerprint,
        "content": manifest.content,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "created": manifest.created.isoformat(),
        "inputs": [str(i.ref) for i in manifest.inputs],
        "settings": manifest.settings,
        "models": manifest.models,
        "sources": manifest.sources,
        "notes": manifest.notes,
        "code_version": manifest.code_version,
        "run": manifest.run.model_dump(),
    }


def show(
    ref: RefArgument,
    rows: Annotated[int, typer.Option(min=0, help="Print so many rows of a table, too.")] = 0,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """One version: what it holds, what it was made from, by whom.

    Example: repic show examples@latest --json
    """
    opened = open_store(store)
    manifest = opened.manifest(ref)
    summary = _summary(manifest)
    if rows and manifest.kind == "table":
        summary["head"] = opened.read(manifest.ref).slice(0, rows).to_pylist()
    if as_json:
        print_json(summary)
        return
    columns = [f"{c.name} ({c.type})" for c in manifest.columns]
    print_rows(
        [str(manifest.ref), manifest.kind],
        [
            *((key, _short(value)) for key, value in summary.items() if value and key != "head"),
            *((("columns", ", ".join(columns)),) if columns else ()),
        ],
    )
    for row in summary.get("head", []):
        out().print_json(data=row, default=str)


def _short(value: Any) -> str:
    import json

    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return (
        json.dumps(value, ensure_ascii=False, indent=1) if isinstance(value, dict) else str(value)
    )


def diff(
    a: RefArgument,
    b: RefArgument,
    limit: Annotated[int, typer.Option(min=0, help="Rows to print of each kind.")] = 5,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Rows added, removed and changed from A to B, by key. Two datasets are compared by table.

    Example: repic diff pairs@v11 pairs@v12
    """
    opened = open_store(store)
    result = {name: _diff(opened, *refs, limit) for name, refs in _compared(opened, a, b).items()}
    if as_json:
        print_json(result)
        return
    print_rows(
        ["table", "from", "to", "added", "removed", "changed"],
        [
            (name, d["from"], d["to"], d["added"], d["removed"], d["changed"])
            for name, d in result.items()
        ],
    )
    for name, d in result.items():
        for kind, rows in d["rows"].items():
            for row in rows:
                err().print(f"{name}: {kind} {row}", style="dim", soft_wrap=True)


def _compared(store: Store, a: str, b: str) -> dict[str, tuple[str, str]]:
    """Table -> the two versions to compare."""
    one, other = store.manifest(a), store.manifest(b)
    if one.kind != other.kind:
        raise UserError(f"{one.ref} is a {one.kind} and {other.ref} a {other.kind}")
    if one.kind != "dataset":
        return {one.name: (str(one.ref), str(other.ref))}
    after = {i.name: i.ref for i in other.inputs}
    return {i.name: (str(i.ref), str(after[i.name])) for i in one.inputs if i.name in after}


def _diff(store: Store, a: str, b: str, limit: int) -> dict[str, Any]:
    from storage import integrity

    found = integrity.diff(store, a, b)
    key = list(store.manifest(a).key)
    kinds = {"added": found.added, "removed": found.removed, "changed": found.changed}
    shown = {
        kind: table.select(key if kind != "changed" else [*key, "columns"]).slice(0, limit)
        for kind, table in kinds.items()
    }
    return {
        "from": a,
        "to": b,
        **{kind: table.num_rows for kind, table in kinds.items()},
        "columns_added": list(found.columns_added),
        "columns_removed": list(found.columns_removed),
        "rows": {kind: table.to_pylist() for kind, table in shown.items()},
    }


def lineage(
    ref: RefArgument = "dataset@latest",
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Everything that a version was made from, up to source files and models.

    Example: repic lineage examples@latest
    """
    from storage import lineage as graphs

    graph = graphs.lineage(open_store(store), ref)
    if as_json:
        print_json(
            {
                "root": str(graph.root),
                "nodes": [
                    {
                        "kind": n.kind,
                        "name": n.name,
                        "version": n.version,
                        "fingerprint": n.fingerprint,
                        "detail": n.detail,
                    }
                    for n in graph.nodes
                ],
                "edges": [{"output": str(e.output), "input": str(e.input)} for e in graph.edges],
            }
        )
    else:
        out().print(graph.tree(), markup=False)


def verify(
    ref: Annotated[str | None, typer.Argument(help="One version and its inputs; or all.")] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hash every file again and compare it with what the manifests say. Exit code 1 if one differs.

    Example: repic verify dataset@latest
    """
    from dataclasses import asdict

    from storage import integrity

    problems = integrity.verify(open_store(store), ref)
    if as_json:
        print_json([asdict(problem) for problem in problems])
    elif problems:
        print_rows(
            ["version", "file", "problem"], [(p.artifact, p.path, p.message) for p in problems]
        )
    else:
        out().print("Clean: every file is what its manifest says.")
    if problems:
        raise typer.Exit(1)


def tag(
    ref: RefArgument,
    name: Annotated[str, typer.Argument(help="For example production.")],
    delete: Annotated[bool, typer.Option("--delete", help="Take the tag away.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Give a version a name that stays: name@TAG. A tag that exists moves.

    Example: repic tag dataset@v3 production
    """
    opened = open_store(store)
    if delete:
        artifact = opened.resolve(ref).name
        opened.untag(artifact, name)
        out().print(f"{artifact}@{name} is gone")
    else:
        out().print(f"{opened.tag(ref, name)} is now also @{name}")
    _refresh(opened)


def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it only show.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Drop versions, too, but for the newest KEEP and all with a ref."),
    ] = None,
    forget: Annotated[
        float,
        typer.Option(
            min=0,
            max=36_500,
            metavar="DAYS",
            help="Drop training runs, too, that were killed and not gone on with for so long.",
        ),
    ] = 30,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete files that nothing can reach. A dry run unless --apply is given.

    A training run that was killed keeps what it needs to go on. It is listed, and given up after
    --forget DAYS.

    Example: repic gc --keep 10 --apply
    """
    from datetime import timedelta

    from storage import gc as garbage

    opened = open_store(store)
    found = garbage.gc(opened, delete=apply, keep_versions=keep, forget=timedelta(days=forget))
    if as_json:
        print_json(
            {
                "files": [
                    {"path": f.path, "bytes": f.bytes, "reason": f.reason} for f in found.files
                ],
                "bytes": found.bytes,
                "unfinished": [
                    {
                        "id": u.job.id,
                        "what": u.job.what,
                        "touched": u.job.touched.isoformat(),
                        "bytes": u.bytes,
                        "forgotten": u.forgotten,
                    }
                    for u in found.unfinished
                ],
                "deleted": found.deleted,
                "blocked": len(found.blocked_by),
            }
        )
    else:
        if found.files:
            print_rows(
                ["file", "size", "why"], [(f.path, size(f.bytes), f.reason) for f in found.files]
            )
        if found.unfinished:
            print_rows(
                ["unfinished", "last worked on", "size", ""],
                [
                    (
                        u.job.what,
                        f"{u.job.touched:%F %T} UTC",
                        size(u.bytes),
                        "given up" if u.forgotten else "kept: the same command goes on with it",
                    )
                    for u in found.unfinished
                ],
            )
        verb = "Deleted" if found.deleted else "Would delete"
        out().print(f"{verb} {len(found.files)} files, {size(found.bytes)}.")
        if found.blocked_by:
            err().print("A build is running, so nothing is deleted; run again when it has ended.")
        elif not apply and found.files:
            err().print("Give --apply to delete them.")
    if found.deleted:
        _refresh(opened)


def _refresh(store: Store) -> None:
    from repic.pipeline import catalog

    if store.files.local:
        catalog.refresh(store)
