"""Lineage of a version: the graph of its inputs, up to sources and models."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from storage.errors import NotFoundError, StoreError
from storage.hashing import fingerprint
from storage.manifest import ArtifactRef, Input, Manifest
from storage.reader import StoreReader


@dataclass(frozen=True)
class Node:
    """A version of an artifact, or a source or model that is not stored as an artifact.

    Attributes:
        kind: table, dataset, checkpoint, report, source, model, or lost: its manifest is gone.
        version: None for a source or a model; their `fingerprint` distinguishes them.
        detail: The manifest's description of a source or a model as JSON, else empty.
    """

    kind: str
    name: str
    version: int | None
    fingerprint: str
    detail: str = ""

    def __str__(self) -> str:
        if self.version is not None:
            return str(ArtifactRef.exact(self.name, self.version))
        return f"{self.kind} {self.name} {self.detail}"


@dataclass(frozen=True)
class Edge:
    """`input` is a direct input of `output`."""

    output: Node
    input: Node


@dataclass(frozen=True)
class Lineage:
    """The inputs of `root`, direct and indirect. `nodes` lists inputs before their outputs."""

    root: Node
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def tree(self) -> str:
        """The graph as indented text; the inputs of a repeated node are not repeated."""
        return "\n".join([str(self.root), *self._branches(self.root, "", set())])

    def _branches(self, node: Node, indent: str, printed: set[Node]) -> Iterator[str]:
        inputs = [edge.input for edge in self.edges if edge.output == node]
        for number, below in enumerate(inputs, 1):
            last = number == len(inputs)
            again = below in printed and any(edge.output == below for edge in self.edges)
            yield f"{indent}{'└── ' if last else '├── '}{below}{' (above)' if again else ''}"
            if not again:
                printed.add(below)
                yield from self._branches(below, indent + ("    " if last else "│   "), printed)


def lineage(store: StoreReader, ref: ArtifactRef | str) -> Lineage:
    """The lineage of a version.

    Raises:
        NotFoundError: the version or one of its inputs does not exist.
    """
    manifests = closure(store, [store.manifest(ref)])
    all_edges = [edge for manifest in manifests for edge in edges(store, manifest)]
    nodes = dict.fromkeys(
        node
        for manifest in manifests
        for node in (*(edge.input for edge in edges(store, manifest)), _node(manifest))
    )
    return Lineage(_node(manifests[-1]), tuple(nodes), tuple(all_edges))


def closure(
    store: StoreReader,
    manifests: Iterable[Manifest],
    among: Container[ArtifactRef] | None = None,
) -> list[Manifest]:
    """The given versions and their direct and indirect inputs; inputs first, each once.

    Args:
        among: Leave out inputs that are not among these.

    Raises:
        NotFoundError: an input does not exist.
        StoreError: a version is its own direct or indirect input.
    """
    ordered: dict[ArtifactRef, Manifest] = {}
    open_: dict[ArtifactRef, Iterator[Input]] = {}
    for root in manifests:
        waiting = [root]
        while waiting:
            manifest = waiting[-1]
            if manifest.ref not in ordered:
                inputs = open_.setdefault(manifest.ref, iter(manifest.inputs))
                if (bound := next(inputs, None)) is not None:
                    if bound.ref in open_:
                        raise StoreError(f"{bound.ref} is its own input: run `repic verify`.")
                    if bound.ref not in ordered and (among is None or bound.ref in among):
                        waiting.append(store.manifest(bound.ref))
                    continue
                ordered[manifest.ref] = manifest
                del open_[manifest.ref]
            waiting.pop()
    return list(ordered.values())


def edges(store: StoreReader, manifest: Manifest) -> list[Edge]:
    """Edges from a version to its direct inputs, sources and models; a lost input is `lost`."""
    inputs = [
        *(_input(store, bound) for bound in manifest.inputs),
        *(_leaf("source", name, detail) for name, detail in sorted(manifest.sources.items())),
        *(_leaf("model", name, detail) for name, detail in sorted(manifest.models.items())),
    ]
    return [Edge(_node(manifest), node) for node in inputs]


def _input(store: StoreReader, bound: Input) -> Node:
    try:
        return _node(store.manifest(bound.ref))
    except NotFoundError:
        return Node("lost", bound.name, bound.version, bound.fingerprint)


def _node(manifest: Manifest) -> Node:
    return Node(manifest.kind, manifest.name, manifest.version, manifest.fingerprint)


def _leaf(kind: str, name: str, detail: Any) -> Node:
    text = json.dumps(detail, sort_keys=True, ensure_ascii=False)
    return Node(kind, name, None, fingerprint(detail), text)
