"""Every command has help with an example and reports an error in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from repic import cli
from tests.builds import Built, repic

Main = Callable[..., tuple[int, str, str]]
COMMANDS = {
    *("build", "report", "reviews", "log", "show", "diff", "lineage", "verify", "tag", "gc"),
    *("train", "export"),
    *(
        "catalog",
        "quarantine",
        "schema",
        "sources",
        "sql",
        "run",
        "up",
        "doctor",
        "status",
        "automations",
        "schedule",
    ),
}
WITHOUT_STORE = {
    "automations",
    "schedule",
    "evaluate",
    "models",
    "refresh",
    "reward",
    "schema",
    "sources",
    "run",
}


def commands() -> dict[str, object]:
    group = typer.main.get_command(cli.app)
    return dict(group.commands)  # type: ignore[attr-defined]


def test_the_names_are_fixed() -> None:
    assert commands().keys() >= COMMANDS


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_has_an_example(name: str, repic_main: Main) -> None:
    code, out, _ = repic_main(name, "--help")
    assert code == 0
    assert f"Example: repic {name}" in " ".join(out.replace("│", " ").split())
    assert ("--store" in out) == (name not in WITHOUT_STORE)
    short = repic_main(name, "-h")
    assert short[0] == 0


def test_without_arguments_it_helps(repic_main: Main) -> None:
    _, out, err = repic_main()
    text = out + err
    assert "Usage" in text
    assert "repic build --images FOLDER" in text


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("biuld",), "build"),
        (("up", "--port", "99999"), "65535"),
        (("build", "--imags", "x"), "--images"),
        (("gc", "--aply"), "--apply"),
        (("sql", "select 1", "--fromat", "csv"), "--format"),
        (("log", "--stroe", "x"), "--store"),
    ],
)
def test_a_typo_is_told_the_nearest_name(
    arguments: tuple[str, ...], nearest: str, repic_main: Main
) -> None:
    code, _, err = repic_main(*arguments)
    assert code == 2
    assert nearest in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("log",),
        ("show", "dataset@latest"),
        ("diff", "pairs@v1", "pairs@v2"),
        ("lineage",),
        ("verify",),
        ("tag", "dataset@v1", "good"),
        ("gc",),
        ("catalog",),
        ("quarantine",),
        ("quarantine", "retry"),
        ("status",),
        ("sql", "select 1"),
        ("report",),
        ("reviews", "export", "x.csv"),
        ("refresh", "why"),
        ("refresh", "rollback"),
    ],
)
def test_a_store_that_is_not_there(
    arguments: tuple[str, ...], tmp_path: Path, repic_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = repic_main(*arguments, f"--store={tmp_path / 'none'}")
    assert (code, out) == (2, "")
    assert "There is no store at" in err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("show", "dataset@v9"), "choose one of v1"),
        (("show", "exampels@latest"), "Did you mean examples"),
        (("show", "dataset@production"), "choose one of"),
        (("log", "pair"), "Did you mean pairs"),
        (("diff", "pairs@v1", "dataset@v1"), "pairs@v1 is a table"),
        (("verify", "pairs@v7"), "choose one of v1"),
        (("tag", "dataset@v9", "x"), "choose one of v1"),
        (("tag", "dataset@v1", "v3"), "cannot be a tag"),
        (("tag", "dataset@v1", "latest"), "cannot be a tag"),
        (("tag", "dataset@v1", "nope", "--delete"), "nope"),
        (("schema", "exampels"), "examples"),
        (("sql", "select * from exampels"), "examples"),
        (("sql", "selct 1"), "selct"),
        (("sql", "select 1", "--format", "parquet"), "--out"),
        (("sql", "select 1", "--format", "csv", "--out", "/nowhere/x.csv"), "/nowhere/x.csv"),
        (("sql", "create table x as select 1"), "only reads"),
        (("reviews", "export", "/nowhere/x.csv"), "/nowhere/x.csv"),
    ],
)
def test_a_wrong_name_is_exit_code_2(
    arguments: tuple[str, ...], hint: str, built: Built, repic_main: Main
) -> None:
    store = () if arguments[0] == "schema" else (f"--store={built.location}",)
    code, out, err = repic_main(*arguments, *store)
    assert code == 2, out
    assert out == ""
    assert err.startswith("repic: ")
    assert hint in err
    assert "Traceback" not in err


def test_the_program_is_installed_and_is_this_one() -> None:
    import sys

    assert shutil.which("repic", path=str(Path(sys.executable).parent))
    done = repic("--help")
    assert done.returncode == 0
    assert "build" in done.stdout
