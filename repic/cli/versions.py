"""Commands about versions: log, show, diff, lineage, tag."""

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

RefArgument = Annotated[str, typer.Argument(help="name@v3, name@latest or name@TAG.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (log, show, diff, lineage, tag):
        app.command()(command)


def log(
    name: Annotated[str, typer.Argument(help="Artifact: dataset, examples, pairs ...")] = "dataset",
    limit: Annotated[int, typer.Option(min=1, help="Number of versions to show.")] = 20,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List the versions of an artifact, newest first.

    Example: repic log examples --limit 5
    """
    if "@" in name:
        raise UserError(f"log lists all versions of an artifact: give {name.partition('@')[0]!r}")
    opened = open_store(store)
    opened.resolve(f"{name}@latest")  # the error lists what exists
    ref = opened.current().of(name)
    manifests = [opened.manifest(f"{name}@v{v}") for v in reversed(opened.versions(name)[-limit:])]
    if as_json:
        print_json([_summary(manifest) for manifest in manifests])
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
                size(m.bytes) if m.stored else "",  # a dataset binds tables
                f"{m.created:%Y-%m-%d %H:%M:%S}",
                f"{m.run.user}@{m.run.host}",
                m.content[:12],
            )
            for m in manifests
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
    rows: Annotated[int, typer.Option(min=0, help="Also print this many rows of a table.")] = 0,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a version: its contents, its inputs, and who made it.

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
    limit: Annotated[int, typer.Option(min=0, help="Rows to print per kind of change.")] = 5,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare two versions: rows added, removed and changed, by key; datasets table by table.

    Example: repic diff pairs@v11 pairs@v12
    """
    from repic.pipeline.differences import differences

    result = differences(open_store(store), a, b, limit)
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


def lineage(
    ref: RefArgument = "dataset@latest",
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print everything a version was made from, back to source files and models.

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
        out().print(graph.tree())


def tag(
    ref: RefArgument,
    name: Annotated[str, typer.Argument(help="Tag, for example production.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove the tag.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Tag a version as name@TAG; an existing tag moves.

    Example: repic tag dataset@v3 production
    """
    opened = open_store(store)
    if delete:
        artifact = opened.resolve(ref).name
        opened.untag(artifact, name)
        out().print(f"{artifact}@{name} is removed")
    else:
        out().print(f"{opened.tag(ref, name)} is now also @{name}")
