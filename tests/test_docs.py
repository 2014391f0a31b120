"""Documentation: every command, table and query is there and works."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import typer.main
from typer.testing import CliRunner

from repic import catalog
from repic.cli import app
from repic.tables import TABLES
from storage.store import Store
from tests.builds import Built

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
QUERIES = re.findall(r"```sql\n(.*?)```", (DOCS / "sql.md").read_text(encoding="utf-8"), re.S)


def _commands() -> list[str]:
    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_documented(command: str) -> None:
    assert f"`repic {command}" in (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", _commands())
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"repic {command}" in result.output


def test_documented_commands_exist() -> None:
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"repic ([a-z]+)\b", _code(page)))
    assert named - set(_commands()) == set()


def _code(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"^    .*$", text, re.M)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *indented])


def test_the_tables_page_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(app, ["schema", "--markdown"]).output
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert printed == page, "run: repic schema --markdown > docs/tables.md"
    assert all(f"## {name}\n" in page for name in TABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_there_are_enough_queries() -> None:
    assert len(QUERIES) >= 15


@pytest.fixture(scope="module")
def views(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "catalog.duckdb"
    return catalog.refresh(Store.open(built.location), path)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs(views: Path, query: str) -> None:
    with duckdb.connect(str(views), read_only=True) as connection:
        result = connection.sql(query).fetchall()
    if "must not" in (DOCS / "sql.md").read_text().split(query)[0].rpartition("\n\n")[0][-90:]:
        assert result == []
