"""The structure that CONTRIBUTING.md describes: few packages, downward imports, no circles."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = (
    *("storage", "errors", "web", "images", "tables", "config", "mining", "captions", "objectives"),
    *("sample", "sources", "models", "pipeline", "rewards", "training", "evaluation", "export"),
    *("refresh", "report", "studio", "api", "flows.local", "flows", "cli"),
)
"""Packages from bottom to top; a module imports from its own package and from those before it."""
MOST_ROOMS = 24
MOST_FILES = {"training": 15, "evaluation": 16}
"""Of a room and of each package in it."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for every module of the three packages."""
    names = {}
    for package in ("storage", "repic", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            names[name.removesuffix(".__init__")] = path
    return names


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> frozenset[str]:
    """Modules that a module imports, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in modules() else node.module)
    return frozenset(found & modules().keys() - {name})


def room(name: str) -> str:
    package, _, rest = name.partition(".")
    if package == "repic":
        return rest.partition(".")[0] or "api"
    return "flows.local" if name.startswith("flows.local") else package


def circles() -> Iterator[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in imports(name):
            if target not in index:
                yield from visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == index[name]:
            members = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(members) > 1:
                yield sorted(members)

    for name in modules():
        if name not in index:
            yield from visit(name)


def test_rooms_are_few_and_known() -> None:
    rooms = {room(name) for name in modules()}
    assert rooms <= set(FLOORS)
    assert len(FLOORS) - 1 <= MOST_ROOMS  # api is the public interface of the package


def test_imports_run_downwards() -> None:
    upwards = [
        (name, target)
        for name in modules()
        for target in sorted(imports(name))
        if FLOORS.index(room(target)) > FLOORS.index(room(name))
    ]
    assert upwards == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert list(circles()) == []


def test_large_rooms_stay_readable() -> None:
    for name, most in MOST_FILES.items():
        folders = Counter(path.parent for m, path in modules().items() if room(m) == name)
        assert max(folders.values()) <= most, folders


def test_no_class_name_is_used_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for name in modules():
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_public_functions_and_classes_have_docstrings() -> None:
    bare = [
        f"{name}.{node.name}"
        for name in modules()
        for node in tree(name).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
