"""Hooks of MkDocs: pages of reference from the code, and pages that lie beside docs/."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from tools.site import commands, http, python, settings

ROOT = Path(__file__).parents[2]

GENERATED: dict[str, Callable[[], str]] = {
    "reference-commands.md": commands.page,
    "reference-settings.md": settings.page,
    "reference-http.md": http.page,
    "reference-python.md": python.page,
}
"""Name of a page -> what writes it."""

_LINK = re.compile(r"\[([^]\n]*(?:\n[^]\n]*)?)\]\(([^)#\s]+)(#[^)\s]*)?\)")

BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository that are part of the site, and their names there."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for name, write in GENERATED.items():
        files.append(File.generated(config, name, content=write()))
    for path, name in BESIDE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=linked(text, ROOT)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links of a page of docs/ to the site, and write `|` in code of tables as it is."""
    if page.file.generated_by is not None:
        return markdown
    plain = re.sub(r"`[^`\n]*`", lambda code: code[0].replace(r"\|", "|"), markdown)
    return linked(plain, ROOT / "docs")


def linked(text: str, folder: Path) -> str:
    """Lead links of a page in this folder to pages of the site; of other files, give the path."""

    def of_site(match: re.Match[str]) -> str:
        shown, target, anchor = match.groups(default="")
        if "://" in target:
            return match[0]
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        if path in BESIDE:
            return f"[{shown}]({BESIDE[path]}{anchor})"
        if path.startswith("docs/"):
            return f"[{shown}]({path.removeprefix('docs/')}{anchor})"
        return f"`{path}`" if shown.strip("`") == path else f"{shown} (`{path}`)"

    return _LINK.sub(of_site, text)
