"""Commands of docs/cluster.md, for tests that run them as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from tests.test_docs import DOCS

TEXT = (DOCS / "cluster.md").read_text(encoding="utf-8")


def command(
    pattern: str, ours: Mapping[str, str], page: str = "cluster.md"
) -> tuple[list[str], dict[str, str]]:
    """Words and environment of the only command of the page that matches.

    Args:
        ours: Texts of the page -> what stands for them here, such as addresses and folders.
        page: Another page of the docs.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    [line] = re.findall(rf"^ {{4,8}}((?:.* )?{pattern}.*)$", text, re.M)
    for theirs, here in ours.items():
        line = line.replace(theirs, here)
    words = shlex.split(line, comments=True)
    first = next(number for number, word in enumerate(words) if "=" not in word)
    return words[first:], dict(word.split("=", 1) for word in words[:first])


def variable(name: str) -> str:
    """What `export NAME=...` of the page sets."""
    [value] = re.findall(rf"^ {{4}}export (?:.* )?{name}=(\S+)", TEXT, re.M)
    return value
