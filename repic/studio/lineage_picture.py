"""The lineage of a version as a picture: a row for each node, below all that it was made from.

A line runs straight down from a node, and sideways to what was made from it. Two rules keep a long
history readable: only the nearest version of an artifact is followed, so that earlier ones are ends
to click on; and no line is drawn for an input that another input was made from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.lineage import Edge, Node

ROW, LANE, LEFT = 28, 16, 10
"""Pixels between rows and between lines, and from the edge to the first line."""

TEXT = 330
"""Pixels that the name of a node and its kind take."""

Inputs = Mapping[Node, Sequence[Node]]
"""Node -> what it was made from."""


@dataclass(frozen=True)
class DrawnNode:
    """A version, source or model in the picture.

    Attributes:
        path: Address of its page; empty if there is none.
        is_end: Whether it was made from more, which is not drawn.
    """

    text: str
    kind: str
    x: int
    y: int
    path: str
    is_end: bool


@dataclass(frozen=True)
class LineagePicture:
    """Nodes, lines between them as SVG paths, and dots where a line goes on after a branch."""

    nodes: tuple[DrawnNode, ...]
    lines: tuple[str, ...]
    branches: tuple[tuple[int, int], ...]
    text_x: int
    width: int
    height: int


def picture(edges: Iterable[Edge], output: Node) -> LineagePicture:
    """The picture of a lineage; its output is in the last row."""
    every: dict[Node, list[Node]] = {}
    for edge in edges:
        every.setdefault(edge.output, []).append(edge.input)
    inputs = _nearest(every, output)
    inputs = _without_shortcuts(inputs, _rows(inputs, output))
    rows = _rows(inputs, output)
    users = _users(inputs, rows)
    lanes = _lanes(rows, users)
    at = {node: (LEFT + lanes[node] * LANE, ROW // 2 + n * ROW) for n, node in enumerate(rows)}
    text_x = LEFT + (1 + max(lanes.values())) * LANE
    ends = {node for node in rows if every.get(node) and not inputs[node]}
    return LineagePicture(
        tuple(_drawn(node, *at[node], node in ends) for node in rows),
        tuple(_line(at[node], [at[user] for user in users[node]]) for node in rows if users[node]),
        tuple(
            (at[node][0], at[user][1])
            for node in rows
            for user in users[node][:-1]
            if lanes[user] != lanes[node]
        ),
        text_x,
        text_x + TEXT,
        len(rows) * ROW,
    )


def _nearest(every: Inputs, output: Node) -> dict[Node, list[Node]]:
    """The part of a graph in which each artifact's version nearest to the output has inputs."""
    followed, found = {output.name: output}, {output: list(every.get(output, ()))}
    waiting = deque([output])
    while waiting:
        for node in found[waiting.popleft()]:
            if node in found:
                continue
            found[node] = []
            if node.version is None or followed.setdefault(node.name, node) == node:
                found[node] = list(every.get(node, ()))
                waiting.append(node)
    return found


def _rows(inputs: Inputs, output: Node) -> list[Node]:
    """All nodes, each after its inputs and as near to what was made from it as can be."""
    rows: dict[Node, None] = {}

    def add(node: Node) -> None:
        leaves_last = sorted(inputs[node], key=lambda n: (not inputs[n], n.name, n.version or 0))
        for below in leaves_last:
            if below not in rows:
                add(below)
        rows[node] = None

    add(output)
    return list(rows)


def _without_shortcuts(inputs: Inputs, rows: Sequence[Node]) -> dict[Node, list[Node]]:
    """The inputs of each node from which no other of its inputs was made."""
    above: dict[Node, set[Node]] = {}
    for node in rows:
        above[node] = set(inputs[node]).union(*(above[below] for below in inputs[node]))
    return {
        node: [b for b in inputs[node] if not any(b in above[other] for other in inputs[node])]
        for node in rows
    }


def _users(inputs: Inputs, rows: Sequence[Node]) -> dict[Node, list[Node]]:
    """What was made from each node, in order of rows."""
    users: dict[Node, list[Node]] = {node: [] for node in rows}
    for node in rows:
        for below in inputs[node]:
            users[below].append(node)
    return users


def _lanes(rows: Sequence[Node], users: Inputs) -> dict[Node, int]:
    """The column of each node; a column is free again where the line of its node ends."""
    lanes: dict[Node, int] = {}
    busy: dict[int, Node] = {}
    for node in rows:
        busy = {lane: last for lane, last in busy.items() if last != node}
        lanes[node] = next(lane for lane in range(len(rows)) if lane not in busy)
        if users[node]:
            busy[lanes[node]] = users[node][-1]
    return lanes


def _line(start: tuple[int, int], ends: Sequence[tuple[int, int]]) -> str:
    """An SVG path from a node to all that was made from it, the last one at its end."""
    x, y = start
    sideways = (f"M{x} {to[1]}H{to[0]}" for to in ends if to[0] != x)
    return "".join((f"M{x} {y}V{ends[-1][1]}", *sideways))


def _drawn(node: Node, x: int, y: int, is_end: bool) -> DrawnNode:
    has_page = node.version is not None and node.kind != "lost"
    return DrawnNode(
        f"{node.name}@v{node.version}" if node.version is not None else node.name,
        node.kind,
        x,
        y,
        f"/versions/{node.name}/{node.version}" if has_page else "",
        is_end,
    )
