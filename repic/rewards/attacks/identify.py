"""Attacks on `which` rows: several names, a name in a sentence, doubts, look-alikes."""

from __future__ import annotations

from collections.abc import Callable

from repic.objectives.identify import NONE
from repic.rewards.attacks.base import MEGABYTE, Attack, Target

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
            "{right} & {other}",
            "{right}+{other}",
            "{right}|{other}",
            "{right};{other}",
            "{right} and/or {other}",
            "<{right}, {other}>",
            "<{right}> <{other}>",
            "{right}\x00{other}",
            "{right} none",
            "not {right}",
            "{right} rather than {other}",
            "neither {right} nor {other}",
            "{right}, not {other}",
            "{other} -> {right}",
            '["{right}", "{other}"]',
            "{right}'s {other}",
            "{right} (not {other})",
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
    _spelled("escaped tag", lambda name: f"&lt;{name}&gt;"),
    _spelled("long s", lambda name: name.replace("s", "\u017f")),
    _spelled("accent", lambda name: f"{name}\u0301"),
    _spelled("right to left", lambda name: f"\u202e{name[::-1]}"),
    _spelled("right to left mark", lambda name: f"{name}\u200f"),
    _spelled("soft hyphen", lambda name: f"{name[:1]}\u00ad{name[1:]}"),
    _spelled("control character", lambda name: f"{name}\x1f"),
    _spelled("no-break space", lambda name: f"{name}\u00a0"),
    _spelled("emoji", lambda name: f"{name} \U0001f44d"),
    _spelled("variation selector", lambda name: f"{name}\ufe0f"),
    _spelled("possessive", lambda name: f"{name}'s"),
    _spelled("code", lambda name: f"`{name}`"),
    _spelled("fence", lambda name: f"```\n{name}\n```"),
    _spelled("address", lambda name: f"{name}@example.org"),
    _spelled("link", lambda name: f"https://example.org/{name}"),
    _spelled("underscores", lambda name: f"_{name}_"),
    _spelled("double tag", lambda name: f"<<{name}>>"),
    _spelled("element", lambda name: f"<{name}/>"),
    _spelled("number", lambda name: f"1. {name}"),
    _spelled("question", lambda name: f"{name}?"),
    _spelled("ideographic stop", lambda name: f"{name}\u3002"),
    _spelled("two marks", lambda name: f"{name}!."),
    _spelled("reversed", lambda name: name[::-1]),
    _spelled("letters twice", lambda name: "".join(2 * c for c in name)),
    _spelled("closing tag", lambda name: f"</{name}>"),
    _said("size", "200 characters at most", "1 MB", lambda t: t.honest + " " * MEGABYTE),
    _said("size", "200 characters at most", "10 MB", lambda t: t.honest * MEGABYTE),
)
