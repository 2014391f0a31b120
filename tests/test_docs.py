"""The documentation covers every command and table, and its queries run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer.main
from typer.testing import CliRunner

from repic.cli import app
from repic.config.plugins import OWN
from repic.pipeline import catalog
from repic.tables import TABLES
from storage.store import Store
from tests.builds import Built, build

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
QUERIES = dict(
    re.findall(r"\n(.+)\n\n```sql\n((?:.+\n)+)```", (DOCS / "sql.md").read_text("utf-8"))
)
"""Question -> query."""


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


INTERNAL = {
    "REPIC_PARENT_PROCESS",
    *("REPIC_REWARD_COMPONENTS", "REPIC_REWARD_HOSTS", "REPIC_REWARD_LIMITS"),
}
"""Variables by which our processes pass something to those that they start."""


def test_every_environment_variable_is_documented() -> None:
    sources = [
        path for name in ("repic", "flows", "storage") for path in (ROOT / name).rglob("*.py")
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    read = set(re.findall(r"\bREPIC_[A-Z_]+\b", text)) - INTERNAL
    assert len(read) > 10
    listed = (DOCS / "cli.md").read_text(encoding="utf-8").partition("## Environment")[2]
    named = set(re.findall(r"`(REPIC_[A-Z_]+)`", listed.partition("\n## ")[0]))
    assert read == named


CLONE_ONLY = re.compile(
    r"^\s*make [a-z]|\bbenchmarks/\w|\bexamples/\w|python -m (tools|tests)", re.M
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_needs_a_clone_says_so(page: Path) -> None:
    if CLONE_ONLY.search(_code(page)):
        assert "clone" in page.read_text(encoding="utf-8")


def test_the_tables_page_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(app, ["schema", "--markdown"]).output
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert printed == page, "run: repic schema --markdown > docs/tables.md"
    assert all(f"## {name}\n" in page for name in TABLES)


def test_the_table_of_sources_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(app, ["sources", "--markdown"]).output
    page = (DOCS / "sources.md").read_text(encoding="utf-8")
    assert f"\n{printed}\n" in page, "put the output of repic sources --markdown into the page"
    assert all(f"| `{kind}` |" in printed for kind in OWN["sources"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_there_are_enough_queries() -> None:
    assert len(QUERIES) >= 15
    assert len(QUERIES) == (DOCS / "sql.md").read_text("utf-8").count("```sql")


@pytest.fixture(scope="module")
def views(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "catalog.duckdb"
    return catalog.refresh(Store.open(built.location), path)


@pytest.mark.parametrize("question", QUERIES)
def test_every_query_runs(views: Path, question: str) -> None:
    rows = _answer(views, question)
    if "must not" in question:
        assert rows == []


def _answer(views: Path, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(views), read_only=True) as connection:
        return connection.sql(QUERIES[question]).fetchall()


def _question(beginning: str) -> str:
    (question,) = (q for q in QUERIES if q.startswith(beginning))
    return question


@pytest.fixture(scope="module")
def grown(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of two versions; the second has more photos and another detector."""
    folder = tmp_path_factory.mktemp("grown")
    store = built.copy(folder / "store")
    album = built.album.copy(folder / "album").grown()
    build(album.settings("detector.confidence=0.5"), store)
    return catalog.refresh(store, folder / "catalog.duckdb")


def test_the_detector_of_a_box_is_the_one_that_drew_it(grown: Path) -> None:
    rows = _answer(grown, "Which detector drew this box?")
    with duckdb.connect(str(grown), read_only=True) as connection:
        drawn = connection.sql("select object_id, detector from objects order by all").fetchall()
        (detectors,) = connection.sql(
            "select count(distinct input_fingerprint) from lineage where input_name = 'detector'"
        ).fetchall()
    assert detectors == (2,)
    assert [(object_id, detector) for object_id, _, detector, _ in rows] == drawn
    assert {kind for _, kind, _, _ in rows} == {"annotation"}


def test_the_shares_of_languages_are_of_each_objective(grown: Path) -> None:
    rows = _answer(grown, _question("The share of each language"))
    assert {objective for objective, *_ in rows} == {"oct", "ict"}
    assert len({language for _, language, *_ in rows}) > 1
    for objective in ("oct", "ict"):
        shares = [share for name, _, _, share in rows if name == objective]
        assert sum(shares) == pytest.approx(1, abs=0.01)


def test_the_pairs_that_a_version_added_are_listed(grown: Path) -> None:
    rows = _answer(grown, _question("Which pairs did the latest dataset add"))
    with duckdb.connect(str(grown), read_only=True) as connection:
        every, old = (
            {pair for (pair,) in connection.sql(f"select pair_id from {table}").fetchall()}
            for table in ("pairs", "v1.pairs")
        )
    assert rows
    assert [row[0] for row in rows] == sorted(every - old)


def test_the_tutorial_is_the_package() -> None:
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```\n", page, re.DOTALL))
    package = ROOT / "examples" / "howmany"
    assert set(blocks) == {"pyproject.toml", "repic_howmany/objective.py", "repic_howmany/boxes.py"}
    for name, text in blocks.items():
        assert text == (package / name).read_text(encoding="utf-8"), name
