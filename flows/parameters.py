"""Flow parameters of the command line: `--param key=value`, read as the flow declares them."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from repic.config import nearest
from repic.errors import ConfigError

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}

_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "exclusiveMinimum": ("more than", operator.gt),
    "maximum": ("at most", operator.le),
    "exclusiveMaximum": ("less than", operator.lt),
}
"""Of a number, in JSON Schema: words, and what holds for it."""


def read(params: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values of parameters.

    A value is JSON if the flow takes such a value, else text; so a folder may be called `2024`.
    A text for a list is a list of one.

    Args:
        params: `key=value` each.
        schema: The JSON schema of the flow's parameters (OpenAPI).

    Raises:
        ConfigError: no value, an empty one, an unknown parameter, or a value that it does not take.
    """
    known: Mapping[str, Any] = schema.get("properties", {})
    values = {}
    for param in params:
        key, equals, text = param.partition("=")
        if not equals:
            raise ConfigError(f"--param needs key=value, got {param!r}")
        if key not in known:
            raise ConfigError(f"there is no parameter {key}{nearest(key, list(known))}")
        check_given({key: text})
        values[key] = _value(key, text, known[key])
    return values


def check_given(values: Mapping[str, Any]) -> None:
    """Refuse an empty parameter, of an unset variable for example: it would mean the default.

    Raises:
        ConfigError: a value is an empty text.
    """
    for name, value in values.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"the parameter {name} is empty: give a value, or leave it out")


def _value(key: str, text: str, schema: Mapping[str, Any]) -> Any:
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") in _KINDS]
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = text
    if not choices:
        return parsed
    for value in (parsed, text, [text]):
        if any(_takes(choice, value) for choice in choices):
            return value
    takes = " or ".join(_described(choice) for choice in choices if choice["type"] != "null")
    raise ConfigError(f"--param {key}={text:.60} is not {takes}")


def _takes(choice: Mapping[str, Any], value: Any) -> bool:
    kind = choice["type"]
    if isinstance(value, bool) and kind != "boolean":
        return False
    if "enum" in choice and value not in choice["enum"]:
        return False
    items = choice.get("items", {})
    if kind == "array" and isinstance(value, list) and items.get("type") in _KINDS:
        return all(_takes(items, item) for item in value)
    return isinstance(value, _KINDS[kind]) and all(
        holds(value, choice[bound]) for bound, (_, holds) in _BOUNDS.items() if bound in choice
    )


def _described(choice: Mapping[str, Any]) -> str:
    if "enum" in choice:
        return f"one of {', '.join(map(str, choice['enum']))}"
    if choice["type"] == "array":
        return 'a list, such as ["a", "b"]'
    names = {"string": "text", "object": "an object", "boolean": "true or false"}
    bounds = "".join(
        f", {words} {choice[bound]}" for bound, (words, _) in _BOUNDS.items() if bound in choice
    )
    return names.get(choice["type"], f"a number of type {choice['type']}{bounds}")
