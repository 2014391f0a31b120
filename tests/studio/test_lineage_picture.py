"""The picture of a lineage: rows, lines that do not touch, and how much of a history it shows."""

from __future__ import annotations

import random
import re

import pytest

from repic.studio.lineage_picture import LineagePicture, picture
from storage.lineage import Edge, Node


def node(name: str, version: int | None = 1) -> Node:
    return Node("table" if version else "model", name, version, f"{name}{version}")


def edges(made: dict[Node, list[Node]]) -> list[Edge]:
    return [Edge(output, below) for output, inputs in made.items() for below in inputs]


def sections(drawn: LineagePicture) -> list[tuple[int, int, int]]:
    """Column, first and last y of each line straight down."""
    found = [re.match(r"M(\d+) (\d+)V(\d+)", line) for line in drawn.lines]
    return [tuple(map(int, match.groups())) for match in found if match]  # type: ignore[misc]


def random_graph(seed: int) -> dict[Node, list[Node]]:
    """Each node is made from up to four of those before it; the last one of all that are left."""
    draw = random.Random(seed)
    nodes = [node(f"t{n}", draw.choice([1, None]) if n < 6 else 1) for n in range(20)]
    made = {one: draw.sample(nodes[:n], min(n, draw.randint(1, 4))) for n, one in enumerate(nodes)}
    made = {one: inputs for one, inputs in made.items() if one.version}
    used = {below for inputs in made.values() for below in inputs}
    return made | {node("last"): [one for one in nodes if one not in used]}


@pytest.mark.parametrize("seed", range(20))
def test_lines_run_down_and_never_over_each_other_or_a_node(seed: int) -> None:
    drawn = picture(edges(random_graph(seed)), node("last"))
    assert drawn.nodes[-1].text == "last@v1"
    assert [one.y for one in drawn.nodes] == sorted({one.y for one in drawn.nodes})
    lines = sections(drawn)
    assert len(lines) == len(drawn.nodes) - 1
    for place, (x, top, bottom) in enumerate(lines):
        assert top < bottom
        assert all(
            other[0] != x or other[2] <= top or other[1] >= bottom for other in lines[place + 1 :]
        )
        assert not any(one.x == x and top < one.y < bottom for one in drawn.nodes)


def test_an_input_of_an_input_has_one_line() -> None:
    photos, boxes, pairs, model = node("photos"), node("boxes"), node("pairs"), node("model", None)
    made = {boxes: [photos, model], pairs: [boxes, photos, model]}
    drawn = picture(edges(made), pairs)
    assert [one.text for one in drawn.nodes] == ["model", "photos@v1", "boxes@v1", "pairs@v1"]
    assert len(drawn.lines) == 3
    assert not drawn.branches
    assert [one.path for one in drawn.nodes][:2] == ["", "/versions/photos/1"]


def test_where_a_line_goes_on_after_a_branch_is_a_dot() -> None:
    photos, boxes, faces, pairs = map(node, ("photos", "boxes", "faces", "pairs"))
    drawn = picture(edges({boxes: [photos], faces: [photos], pairs: [boxes, faces]}), pairs)
    assert [one.text for one in drawn.nodes][:2] == ["photos@v1", "boxes@v1"]
    assert drawn.branches == ((drawn.nodes[0].x, drawn.nodes[1].y),)


@pytest.mark.parametrize("rounds", [1, 10, 60])
def test_a_long_history_is_as_short_as_one_round(rounds: int) -> None:
    made: dict[Node, list[Node]] = {}
    for n in range(1, rounds + 1):
        made[node("dataset", n)] = [node("photos", n), node("encoder", None)]
        made[node("checkpoint", n)] = [node("dataset", n), node("base", None)]
        if n > 1:
            made[node("checkpoint", n)].append(node("checkpoint", n - 1))
            made[node("photos", n)] = [node("photos", n - 1)]
    drawn = picture(edges(made), node("checkpoint", rounds))
    ends = [one.text for one in drawn.nodes if one.is_end]
    assert len(drawn.nodes) == 5 + 2 * (rounds > 1)
    earlier = [f"checkpoint@v{rounds - 1}", f"photos@v{rounds - 1}"]
    assert sorted(ends) == (earlier if rounds > 2 else [])
