"""Every regular expression takes time linear in the text, whatever the text.

The texts are made from the patterns: each part of a pattern that can repeat is repeated, after what
must come before it and without what must come after it.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Collection, Iterator
from functools import cache, partial
from re import _constants as c
from re import _parser
from typing import Any

import pytest

from tests.test_structure import modules, tree

LENGTH = 4_000
"""Characters of a text, of which a linear pattern reads some millions a second."""

QUICK = 0.004
"""Seconds for such a text after which its growth is measured."""

VERY_LONG = 0.1
"""Seconds that no linear pattern needs for it."""

METHODS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
FUNCTIONS = ("compile", *METHODS)
OWN_TEXTS = {
    "repic.rewards.attacks.computed",
    "repic.rewards.attacks.paraphrases",
    "repic.pipeline.failures",
    "storage.reader",
    "storage.withdrawn",
}
"""Modules that build a pattern at run time and apply it to texts of their own only."""

BUILT = {
    "repic.captions.names": (
        r"[A-Za-z0-9_](?:秀|민)|(?:秀|민)[A-Za-z0-9_\u0300-\u036f\u200b-\u200f\u20d0-\u20ff]",
    ),
    "repic.evaluation.name_index": (r"<\s*(?:ann|bob)\s*>|(?<!\w)(?:ann|bob)(?!\w)",),
    "repic.pipeline.forgotten": (r"[^\W_]+(?:[\u0300-\u036f\u093e-\u094c][^\W_]*)*",),
    "repic.rewards.clip_score": (r"<ann>|\bann\b",),
    "repic.studio.pages.playground": (r"(<(?:ann|bob)>|\b(?:ann|bob)\b)",),
}
"""What modules build at run time, for two names or a few characters."""


def calls(name: str) -> Iterator[ast.Call]:
    """Calls such as `re.sub(...)` in a module."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"re.{f}" for f in FUNCTIONS}:
            yield node


def uses(name: str) -> set[str]:
    """Methods of the patterns that a module calls, as `NAME.method`."""
    attributes = (node for node in ast.walk(tree(name)) if isinstance(node, ast.Attribute))
    return {ast.unparse(node) for node in attributes if node.attr in FUNCTIONS}


@cache
def patterns() -> dict[str, tuple[re.Pattern[Any], frozenset[str]]]:
    """All patterns with the functions that are applied to them, by module and number."""
    everywhere = set().union(*map(uses, modules()))
    found: dict[str, tuple[re.Pattern[Any], frozenset[str]]] = {}
    for name in sorted(modules()):
        if not any(calls(name)):
            continue
        applied = {re.compile(text): set(METHODS) for text in BUILT.get(name, ())}
        for variable, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern):
                methods = {m for m in METHODS if f"{variable}.{m}" in everywhere}
                applied.setdefault(value, set()).update(methods or METHODS)
        for call in calls(name):
            argument, method = call.args[0], ast.unparse(call.func).removeprefix("re.")
            if isinstance(argument, ast.Constant) and method != "compile":
                applied.setdefault(re.compile(argument.value), set()).add(method)
        for number, (pattern, methods) in enumerate(applied.items()):
            found[f"{name} {number}"] = pattern, frozenset(methods)
    return found


def test_every_pattern_is_checked() -> None:
    """A pattern is a constant, a global of its module, or built from names in a known module."""
    assert len(patterns()) > 60
    for name in modules():
        functions: Any = (
            n for n in tree(name).body if isinstance(n, ast.FunctionDef | ast.ClassDef)
        )
        inside = {id(node) for function in functions for node in ast.walk(function)}
        built = [
            ast.unparse(call)
            for call in calls(name)
            if id(call) in inside
            and (
                ast.unparse(call.func) == "re.compile" or not isinstance(call.args[0], ast.Constant)
            )
        ]
        assert not built or name in BUILT.keys() | OWN_TEXTS, (name, built)


def sample(parsed: Any) -> str:
    """A text that the parts of a pattern match, as far as one can tell without look-arounds."""
    return "".join(_sample(op, value) for op, value in parsed)


def _sample(op: Any, value: Any) -> str:
    if op is c.LITERAL:
        return chr(value)
    if op is c.NOT_LITERAL:
        return "b" if value == ord("a") else "a"
    if op is c.ANY:
        return "a"
    if op is c.IN:
        return _member(value)
    if op is c.BRANCH:
        return sample(value[1][0])
    if op is c.SUBPATTERN:
        return sample(value[3])
    if op is c.ATOMIC_GROUP:
        return sample(value)
    if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        return sample(value[2]) * max(1, value[0])
    return ""  # positions and look-arounds


def _member(parts: Any) -> str:
    """A character of a set."""
    kinds = {
        c.CATEGORY_SPACE: " \t\n",
        c.CATEGORY_WORD: "a1_\u00e9",
        c.CATEGORY_DIGIT: "1",
        c.CATEGORY_NOT_WORD: " ,<",
        c.CATEGORY_NOT_SPACE: "a<1",
        c.CATEGORY_NOT_DIGIT: "a <",
    }
    candidates = "a1 ,.<>'-\t\n_\u00e9\u0301秀이[]()|@"
    for op, value in parts:
        if op is c.LITERAL:
            candidates = chr(value) + candidates
        elif op is c.RANGE:
            candidates = chr(value[0]) + candidates
        elif op is c.CATEGORY:
            candidates = kinds[value] + candidates
    for character in candidates:
        if any(_has(op, value, character) for op, value in parts if op is not c.NEGATE) is (
            parts[0][0] is not c.NEGATE
        ):
            return character
    return "a"


def _has(op: Any, value: Any, character: str) -> bool:
    if op is c.LITERAL:
        return ord(character) == value
    if op is c.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    text = {
        c.CATEGORY_SPACE: r"\s", c.CATEGORY_WORD: r"\w", c.CATEGORY_DIGIT: r"\d",
        c.CATEGORY_NOT_SPACE: r"\S", c.CATEGORY_NOT_WORD: r"\W", c.CATEGORY_NOT_DIGIT: r"\D",
    }[value]  # fmt: skip
    return re.match(text, character) is not None


def repeats(parsed: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """What comes before each part that can repeat, and one repetition of it."""
    for op, value in parsed:
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            for branch in _branches(value[2]):
                yield before, branch
            yield from repeats(value[2], before)
        elif op is c.BRANCH:
            for branch in value[1]:
                yield from repeats(branch, before)
        elif op is c.SUBPATTERN:
            yield from repeats(value[3], before)
        elif op is c.ATOMIC_GROUP:
            yield from repeats(value, before)
        elif op in (c.ASSERT, c.ASSERT_NOT):
            yield from repeats(value[1], before)
        before += _sample(op, value)


def _branches(parsed: Any) -> Iterator[str]:
    """Texts of a repetition: one for each branch that it begins with."""
    op, value = parsed[0]
    inner = value[3] if op is c.SUBPATTERN else parsed
    if inner[0][0] is c.BRANCH:
        yield from (sample(branch) for branch in inner[0][1][1])
    yield sample(parsed)


def hostile(pattern: re.Pattern[Any]) -> set[tuple[str, str, str]]:
    """What begins a text, what is repeated, and what ends it, for the most of each repetition."""
    parsed = _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    whole = sample(parsed)
    units = {whole[:end] for end in range(1, min(len(whole), 30) + 1)}
    texts = set()
    for before, once in repeats(parsed):
        units |= {once, before + once, before + once * 2}
        texts |= {(before, once, end) for end in ("\x00", "<", "a")}
    return texts | {("", unit, "") for unit in units if unit}


def _long(parts: tuple[str, str, str], length: int = LENGTH) -> str:
    before, unit, end = parts
    return before + (unit * (length // max(1, len(unit)) + 1))[:length] + end


def seconds(pattern: re.Pattern[Any], methods: Collection[str], text: str) -> float:
    """CPU seconds of the methods; those that look for a match anywhere take the same time."""
    texts: Any = ("", text)
    if isinstance(pattern.pattern, bytes):
        texts = (b"", text.encode("latin-1", "replace"))
    start = time.process_time()
    for method in ("match", "fullmatch"):
        if method in methods:
            getattr(pattern, method)(texts[1])
    if not {"match", "fullmatch"}.issuperset(methods):
        pattern.sub(*texts)
    return time.process_time() - start


def is_slow(pattern: re.Pattern[Any], methods: Collection[str], unit: str) -> bool:
    """Whether four times the text takes far more than four times as long, or very long at all."""
    if seconds(pattern, methods, _long(unit)) < QUICK:
        return False
    # The best of several: a collection of garbage counts in CPU time too.
    once, more = (partial(_best, pattern, methods, _long(unit, LENGTH * k)) for k in (1, 4))
    quickest = once()
    if not QUICK < quickest < VERY_LONG:
        return quickest > QUICK
    return more() / quickest > 8


def _best(pattern: re.Pattern[Any], methods: Collection[str], text: str) -> float:
    return min(seconds(pattern, methods, text) for _ in range(4))


def test_every_pattern_is_linear() -> None:
    slow = [
        (name, pattern.pattern, unit)
        for name, (pattern, methods) in patterns().items()
        for unit in hostile(pattern)
        if is_slow(pattern, methods, unit)
    ]
    assert slow == []


@pytest.mark.parametrize(
    "quadratic",
    [
        r"(?:\s*(?:<\|im_end\|>|</s>))+\s*\Z",
        r"<[^>]*>x",
        r"(?:a|b)*c",
        r"(\w+)\s+is",
    ],
)
def test_slow_patterns_are_found(quadratic: str) -> None:
    pattern = re.compile(quadratic)
    assert any(is_slow(pattern, METHODS, unit) for unit in hostile(pattern))
