"""YAML of strangers: plain data whose aliases do not multiply.

`yaml.safe_load` runs nothing, but a few lines of aliases of aliases stand for more values than any
memory holds, and a merge key or a text of them is as long as all of them.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_VALUES = 1_000_000
"""Most values of a document, each counted as often as aliases repeat it."""


class TooManyValuesError(yaml.YAMLError):
    """Aliases repeat values without end, or too often."""


def loads(text: str) -> Any:
    """The plain data of one document.

    Raises:
        yaml.YAMLError: it is not YAML, names a Python object, or stands for too many values.
        RecursionError: it is nested too deeply.
        ValueError: a number or date of it is none.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counted: dict[yaml.Node, int | None]) -> int:
    """Values of a node, with those of its aliases; `counted` keeps each, None while it is open."""
    if node not in counted:
        counted[node] = None
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        counted[node] = 1 + sum(_count(part, counted) for part in inner)
    count = counted[node]
    if count is None:
        raise TooManyValuesError("an alias stands for a value that contains it")
    if count > MAX_VALUES:
        raise TooManyValuesError(f"its aliases stand for more than {MAX_VALUES:,} values")
    return count
