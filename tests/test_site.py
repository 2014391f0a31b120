"""The documentation site: reference says everything that the code offers, and asks no server."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

import repic
from repic import config
from repic.config.section import described
from repic.rewards.server.app import create_app
from tests.test_docs import DOCS, ROOT
from tools.site import commands, hooks, http, markdown, python, settings


@pytest.fixture(scope="module")
def all_commands() -> str:
    return commands.page()


COMMANDS = {context.command_path: (context, command) for context, command in commands.commands()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_in_reference(name: str, all_commands: str) -> None:
    context, command = COMMANDS[name]
    section = all_commands.partition(f"## {name}\n")[2].partition("\n## ")[0]
    assert command.help
    assert markdown.prose(command.help[:20]) in section
    own = [parameter for parameter in command.get_params(context) if parameter.name != "help"]
    assert len(commands.options(context, command)) == len(own), "hidden options"
    for form, meaning in commands.options(context, command):
        assert meaning.partition("[")[0].strip(), f"{name} {form} has no help"
        assert f"| {markdown.code(form)} |" in section


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_by_its_task(name: str) -> None:
    assert f"`{name}" in (DOCS / "cli.md").read_text("utf-8")


def test_every_setting_is_in_reference() -> None:
    page = settings.page()
    for key, _, help_ in described(config.Settings):
        assert help_, f"{key} has no description"
        assert f"| `{key}` |" in page


def test_every_route_is_in_reference() -> None:
    page = http.page()
    schema = create_app().openapi()
    routes = [(path, method) for path, own in schema["paths"].items() for method in own]
    assert len(routes) >= 4
    for path, method in routes:
        assert f"## {method.upper()} {path}\n" in page
    assert "| `rows[].row.images[].width` | `integer` | required |" in page


def _public(owner: Any) -> list[tuple[str, Any]]:
    """The public functions of a class that our code defines."""
    return [
        (name, member)
        for kind in owner.__mro__
        if kind.__module__.startswith(("repic", "storage"))
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    ]


@pytest.mark.parametrize("name", repic.__all__)
def test_every_public_function_is_in_reference(name: str) -> None:
    value = getattr(repic, name)
    assert f"::: repic.{name}\n" in f"{python.page()}\n"
    assert inspect.getdoc(value), name
    if inspect.isclass(value):
        for method, member in _public(value):
            assert inspect.getdoc(member), f"{name}.{method} has no docstring"


@pytest.mark.parametrize("path", python.FOR_PLUGINS)
def test_what_packages_extend_exists(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert inspect.getdoc(getattr(__import__(module, fromlist=[name]), name))


def test_every_page_is_in_the_navigation() -> None:
    parts = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    named = [page for part in parts for page in _pages(part)]
    pages = {page.name for page in DOCS.glob("*.md")}
    assert sorted(named) == sorted({*pages, *hooks.GENERATED, *hooks.BESIDE.values()})


def _pages(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    return [
        page
        for below in part.values()
        for item in (below if isinstance(below, list) else [below])
        for page in _pages(item)
    ]


def test_links_lead_to_the_site() -> None:
    text = (
        "[a](docs/cli.md#build) [b](SECURITY.md) [c](https://arxiv.org/abs/2506.18369) "
        "[d](examples/first_look.ipynb) [Makefile](Makefile) [two\nlines](docs/sql.md)"
    )
    assert hooks.linked(text, ROOT) == (
        "[a](cli.md#build) [b](security.md) [c](https://arxiv.org/abs/2506.18369) "
        "d (`examples/first_look.ipynb`) `Makefile` [two\nlines](sql.md)"
    )
    assert hooks.linked("[a](../README.md) [b](cli.md)", DOCS) == "[a](index.md) [b](cli.md)"


class _Resources(HTMLParser):
    """What a browser loads of a page by itself."""

    LOADED: ClassVar = {
        "script": "src",
        "img": "src",
        "iframe": "src",
        "source": "src",
        "link": "href",
    }

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("rel") == "canonical":
            return
        if address := values.get(self.LOADED.get(tag, "")):
            self.found.append(address)


@pytest.mark.slow
def test_the_site_is_built_and_asks_no_server(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.glob("*.html"))
    assert {"index.html", "reference-python.html", "cli.html"} <= {page.name for page in pages}
    for page in pages:
        parser = _Resources()
        parser.feed(page.read_text("utf-8"))
        assert parser.found
        outside = [address for address in parser.found if re.match(r"(https?:)?//", address)]
        assert outside == [], page.name
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", sheet.read_text("utf-8")), sheet
    api = (tmp_path / "reference-python.html").read_text("utf-8")
    for name in repic.__all__:
        assert f'id="repic.{name}"' in api, name
    assert 'id="repic.Version.to_datasets"' in api
