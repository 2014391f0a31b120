"""Commands of the documentation are parsed; those of the paper's experiment are dry-run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from typer.core import TyperGroup

from repic import config
from repic.cli import app
from tests.builds import Built
from tests.evaluation.layouts import sample, write_mc_llava, write_yollava
from tests.evaluation.test_suites import PALS, database, four, photo
from tests.five_sources import SAMPLES, FiveSources
from tests.test_docs import PAGES, ROOT
from tests.trained import tiny

__all__ = ["tiny"]

Main = Callable[..., tuple[int, str, str]]
PAGE = ROOT / "docs" / "paper-experiment.md"
PLACEHOLDER = re.compile(r"(^| )\.\.\.( |$)|\[[A-Z]|[|<>]")
"""Marks of a line that shows a form, not a command."""


STARTS = re.compile(r"([A-Z_]+=\S* )*(repic|accelerate) ")


@dataclass(frozen=True)
class Command:
    """A command of a page: variables of its environment, and its words."""

    environment: tuple[str, ...]
    words: tuple[str, ...]


def commands(text: str) -> Iterator[Command]:
    """The commands of the indented blocks of a page, those of one line apart."""
    blocks = "\n".join(re.findall(r"^    (.*)$", text, re.M)).replace("\\\n", " ")
    pending = ""
    for line in blocks.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if not STARTS.match(pending):
            pending = ""
            continue
        lexer = shlex.shlex(pending, posix=True, punctuation_chars="&;")
        lexer.whitespace_split = True
        try:
            found = [*lexer, "&"]
        except ValueError:  # a quoted text goes on in the next line
            continue
        pending = ""
        yield from _parts(found)
    assert not pending, pending


def _parts(words: list[str]) -> Iterator[Command]:
    """The commands between `&` and `;`."""
    own: list[str] = []
    for word in words:
        if not set(word) <= set("&;"):
            own.append(word)
            continue
        first = next((n for n, w in enumerate(own) if "=" not in w), len(own))
        if own[first:]:
            yield Command(tuple(own[:first]), tuple(own[first:]))
        own = []


def parsed(words: tuple[str, ...]) -> str:
    """Parse the arguments of `repic` with the real command line; the name of the command."""
    command: Any = typer.main.get_command(app)
    context, name, rest = None, "repic", list(words)
    while True:
        context = command.make_context(name, rest, parent=context)
        if not isinstance(command, TyperGroup):
            return str(context.command_path)
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )


def of_repic(command: Command) -> tuple[str, ...] | None:
    """The arguments of `repic`, also below `accelerate launch`; None for another program."""
    program, *rest = command.words
    if program == "repic":
        return tuple(rest)
    if program != "accelerate":
        return None
    assert rest[0] == "launch"
    launch = launch_command_parser().parse_args(rest[1:])
    shipped = r"\$\(repic train --accelerate-config (\w+)\)"  # prints the path
    path = re.sub(shipped, r"repic/training/accelerate/\1.yaml", launch.config_file)
    settings = load_config_from_file(str(ROOT / path))
    assert settings.num_processes >= 1
    assert (launch.module, launch.training_script) == (True, "repic.cli")
    return tuple(launch.training_script_args)


ALL = [
    pytest.param(command, id=f"{page.stem}-{' '.join(command.words)[:60]}")
    for page in PAGES
    for command in commands(page.read_text(encoding="utf-8"))
    if not PLACEHOLDER.search(" ".join(command.words))
]


@pytest.mark.parametrize("command", ALL)
def test_every_command_is_parsed(command: Command) -> None:
    arguments = of_repic(command)
    if arguments is not None:
        assert parsed(arguments).startswith("repic")


def test_a_wrong_command_is_not_parsed() -> None:
    [wrong] = commands("    repic train --profil paper  # comment")
    assert wrong.words == ("repic", "train", "--profil", "paper")
    with pytest.raises(Exception, match="--profil"):  # the class is another in each typer
        parsed(wrong.words[1:])
    two = list(commands("    A=1 repic build --images \\\n        x & wait\n\nrepic no"))
    assert two == [Command(("A=1",), ("repic", "build", "--images", "x")), Command((), ("wait",))]


EXPERIMENT = [
    command
    for command in commands(PAGE.read_text(encoding="utf-8"))
    if command.words[0] in ("repic", "accelerate")
]


def test_the_experiment_has_all_of_its_steps() -> None:
    names = {parsed(of_repic(command) or ()) for command in EXPERIMENT}
    assert names == {
        *("repic models", "repic build", "repic doctor", "repic train"),
        *("repic evaluate run", "repic evaluate compare", "repic report"),
    }
    launched = [command for command in EXPERIMENT if command.words[0] == "accelerate"]
    methods = {command.words[command.words.index("--method") + 1] for command in launched}
    assert methods == {"sft", "grpo"}
    for suite in ("repic-2c", "repic-4c"):
        models = {
            command.words[command.words.index("--model") + 1]
            for command in EXPERIMENT
            if suite in command.words and "--model" in command.words
        }
        assert models == {"Qwen/Qwen2.5-VL-7B-Instruct", "checkpoint@v1", "checkpoint@v2"}


def test_the_answers_of_a_step_divide_among_eight_processes() -> None:
    settings = config.load("paper", scope=config.TRAIN)
    processes = load_config_from_file(
        str(ROOT / "repic/training/accelerate/eight_gpus.yaml")
    ).num_processes
    answers = settings.train.prompts_per_step * settings.trainer["num_generations"]
    assert answers % (processes * settings.trainer["per_device_train_batch_size"]) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, built: Built) -> Path:
    """`/data` of the page, with a few photos in each layout, and a store."""
    folder = tmp_path_factory.mktemp("data")
    FiveSources.make(folder, coco=4, objects365=4, celeba=10, refcoco=10, subjects=2)
    suites = folder / "repic"
    four(suites, PALS[:4])
    database(suites, "database_2_concepts", {name: f"{name}.jpg" for name in ("Ann", "Bob")})
    photo(suites / "query-image-2-concepts" / "Ann_and_Bob" / "1.jpg")
    write_yollava(folder / "yollava-data", sample())
    write_mc_llava(folder / "mc-llava", sample())
    built.copy(folder / "store")
    return folder


DRY = [
    pytest.param(of_repic(command), id=f"{number}-{' '.join(command.words)[:50]}")
    for number, command in enumerate(EXPERIMENT)
    if parsed(of_repic(command) or ()) in ("repic build", "repic train", "repic evaluate run")
    or "dataset" in command.words
]


@pytest.mark.parametrize("arguments", DRY)
def test_the_experiment_is_dry_run(
    arguments: tuple[str, ...], data: Path, tiny: str, repic_main: Main
) -> None:
    """On a few photos, with models that are here in place of the published ones."""
    replaced = [word.replace("/data/", f"{data}/") for word in arguments]
    if arguments[0] == "build":
        replaced += [f"--set={change}" for change in SAMPLES]
    else:
        replaced += ["--model", tiny]
    if arguments[0] != "doctor":
        replaced.append("--dry-run")
    code, out, err = repic_main(*replaced)
    assert code == 0, (out, err)
    if arguments[0] == "build":
        found = " ".join(out.split())
        for source in ("coco", "objects365", "celeba", "refcoco", "subjects200k"):
            assert f"source {source}" in found
        assert "2000 rows of train: oct 45%, vlt 24%, ict 31%" in found
