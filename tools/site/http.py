"""The page of the HTTP interface of the reward workers, from its OpenAPI schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from repic.rewards.server.app import create_app
from tools.site.markdown import code, prose, table

BEGINNING = """# HTTP

What a [reward worker](reward-workers.md) answers. It serves this description itself, as
`/openapi.json`. A key that is not listed is refused. Errors have a `code`, which is stable, and a
`message`.
"""

Schema = Mapping[str, Any]


def page() -> str:
    """The page as Markdown."""
    schema = create_app().openapi()
    parts = schema["components"]["schemas"]
    lines = [BEGINNING]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            lines += [f"## {method.upper()} {path}", "", prose(route["summary"]) + ".", ""]
            if body := route.get("requestBody"):
                lines += _message("Request", body["content"]["application/json"]["schema"], parts)
            for status, reply in route["responses"].items():
                content = reply.get("content", {}).get("application/json", {}).get("schema", {})
                lines += _message(f"Reply {status}", content, parts, reply["description"])
    return "\n".join(lines)


def fields(schema: Schema, parts: Schema, prefix: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Path, schema and whether it is required, of each field at any depth."""
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(field, parts)
        yield prefix + name, inner, name in schema.get("required", ())
        items = _resolved(inner.get("items", {}), parts)
        yield from fields(inner, parts, f"{prefix}{name}.")
        yield from fields(items, parts, f"{prefix}{name}[].")


def _message(title: str, schema: Schema, parts: Schema, about: str = "") -> list[str]:
    """The fields of one message; nothing of a plain error beyond its sentence."""
    resolved = _resolved(schema, parts)
    said = about or resolved.get("description", "")
    rows = [
        (code(path), code(_kind(field)), _default(field, required), _meaning(field, parts))
        for path, field, required in fields(resolved, parts)
    ]
    if not rows or resolved.get("title") == "ErrorMessage" or not title.endswith(("200", "uest")):
        return [f"{title}: {prose(said)}", ""]
    return [f"**{title}.** {prose(said)}", "", *table(["field", "type", "", "meaning"], rows), ""]


def _resolved(schema: Schema, parts: Schema) -> Schema:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return parts[name] if name else schema


def _kind(field: Schema) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_kind(choice) for choice in field["anyOf"])
    if "const" in field:
        return str(field["const"])
    kind = str(field.get("type", "object"))
    return f"{kind} of {_kind(field['items'])}" if "items" in field else kind


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    return code(json.dumps(field["default"])) if "default" in field else ""


def _meaning(field: Schema, parts: Schema) -> str:
    said = field.get("description") or _resolved(field.get("items", {}), parts).get("description")
    return prose(said or "")
