"""Lineage: the inputs of a version."""

from __future__ import annotations

from storage.lineage import lineage
from tests.storage.stores import build


def test_the_graph_reaches_sources_and_models(store):
    build(store, 1)
    graph = lineage(store, "dataset")
    assert str(graph.root) == "dataset@v1"
    assert [(node.kind, node.name) for node in graph.nodes] == [
        ("source", "folder"),
        ("table", "images"),
        ("model", "encoder"),
        ("table", "pairs"),
        ("dataset", "dataset"),
    ]
    assert len(graph.edges) == 5
    order = list(graph.nodes)
    assert all(order.index(edge.input) < order.index(edge.output) for edge in graph.edges)


def test_the_tree_shows_each_version_once(store):
    build(store, 1)
    assert lineage(store, "dataset").tree() == (
        "dataset@v1\n"
        "├── images@v1\n"
        '│   └── source folder {"files": 10, "uri": "file:///photos"}\n'
        "└── pairs@v1\n"
        "    ├── images@v1 (above)\n"
        '    └── model encoder "e1"'
    )
