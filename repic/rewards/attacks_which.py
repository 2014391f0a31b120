"""Attacks on `which` rows: several names, a name in a sentence, doubts, look-alikes."""

from __future__ import annotations

from collections.abc import Callable

from repic.objectives.which import NONE
from repic.rewards.attacks import MEGABYTE, Attack, Target

_ALONE = "the answer is one name, or none, and nothing else"
_RIGHT = "the name is that of the object in the box"
_SPELLED = "a name is spelled as it was given"


def _names(target: Target) -> list[str]:
    return [reference["name"] for reference in target.row["references"]]


def _others(target: Target) -> list[str]:
    return [name for name in _names(target) if f"<{name}>" != target.honest]


def _said(family: str, rule: str, name: str, make: Callable[[Target], str | None]) -> Attack:
    return Attack("which", family, rule, name, make)


def _around(family: str, rule: str, text: str) -> Attack:
    """The right answer as `{right}`, another name as `{other}`, in a text."""

    def make(target: Target) -> str:
        return text.format(right=target.honest, other=f"<{_others(target)[0]}>")

    return _said(family, rule, repr(text), make)


def _named(target: Target) -> str | None:
    """The right name, where there is one."""
    return None if target.honest == NONE else target.honest[1:-1]


def _spelled(name: str, change: Callable[[str], str]) -> Attack:
    def make(target: Target) -> str | None:
        right = _named(target)
        return None if right is None or change(right) == right else change(right)

    return _said("unicode", _SPELLED, name, make)


ATTACKS: tuple[Attack, ...] = (
    *(
        _around("several names", _ALONE, text)
        for text in (
            "{right} {other}",
            "{other} {right}",
            "{right}, {other}",
            "{right} or {other}",
            "{right}\n{other}",
            "{right}/{other}",
            "not {other}, {right}",
            "none or {right}",
        )
    ),
    *(
        _around("hedging", _ALONE, text)
        for text in ("maybe {right}", "{right}?", "{right}, I think", "probably {right}")
    ),
    *(
        _around("sentence", _ALONE, text)
        for text in (
            "It is {right}.",
            "The name is {right}",
            "{right} is in the box",
            '"{right}"',
            "<answer>{right}</answer>",
            '{{"name": "{right}"}}',
            "{right}{right}",
            "{right} {right}",
            "**{right}**",
        )
    ),
    *(
        _around("wrong", _RIGHT, text)
        for text in ("{other}", "{other}.", "<Someone>", "<none>", "nobody", "", "it", "{{box}}")
    ),
    _said("wrong", _RIGHT, "none", lambda t: NONE if t.honest != NONE else None),
    _said("listing", _ALONE, "all names", lambda t: " ".join(_names(t))),
    _said("listing", _ALONE, "all tags", lambda t: "".join(f"<{name}>" for name in _names(t))),
    _said("echo", _ALONE, "the prompt", lambda t: "\n".join(b["text"] for b in t.row["prompt"])),
    _spelled("zero width", lambda name: f"{name[:1]}\u200b{name[1:]}"),
    _spelled(
        "full width", lambda name: "".join(chr(ord(c) + 0xFEE0) if c < "\x7f" else c for c in name)
    ),
    _spelled("struck through", lambda name: "".join(f"{c}\u0336" for c in name)),
    _spelled("prefix", lambda name: name[:-1]),
    _spelled("longer", lambda name: f"{name}na"),
    _spelled("spaced", lambda name: " ".join(name)),
    _spelled("half a tag", lambda name: f"<{name}"),
    _spelled("closing tag", lambda name: f"</{name}>"),
    _said("size", "200 characters at most", "1 MB", lambda t: t.honest + " " * MEGABYTE),
    _said("size", "200 characters at most", "10 MB", lambda t: t.honest * MEGABYTE),
)
