"""docs/formats.md is what the code says, and its commands run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.export.page import page
from tests.builds import Built
from tests.test_docs import DOCS
from tests.test_docs_commands import Command, commands
from tests.trained import tiny

__all__ = ["tiny"]

Main = Callable[..., tuple[int, str, str]]
PAGE = DOCS / "formats.md"
COMMANDS = [*commands(PAGE.read_text(encoding="utf-8"))]


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: repic export --list --markdown > docs/formats.md"
    )


@pytest.mark.slow
def test_the_commands_run_in_their_order(
    built: Built, tiny: str, repic_main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All but those of checkpoints, and with a model that is here."""
    built.copy(tmp_path / "repic-store")
    monkeypatch.chdir(tmp_path)
    ran = []
    for command in COMMANDS:
        words = [tiny if "/" in word and "Instruct" in word else word for word in command.words]
        if words[0] != "repic" or "checkpoint" in words[2]:
            continue
        if words[1] == "build":
            words += ["--set", "detector.kind=annotation", *_encoder(built)]
        if words[1] == "export":
            words.append("--overwrite")
        if words[:4] == ["repic", "import", "out", "--from"]:
            assert repic_main("export", "dataset@latest", "out", "--to=hf", "--overwrite")[0] == 0
        code, out, err = repic_main(*words[1:])
        assert code == 0, (words, out, err)
        ran.append(words[1])
    assert {*ran} == {"export", "import", "build"}
    assert len(ran) == 16


def _encoder(built: Built) -> list[str]:
    return [f"--set={change}" for change in built.album.overrides[1:]]


def test_datasets_reads_it_in_one_line(built: Built, repic_main: Main, tmp_path: Path) -> None:
    code, _, err = repic_main(
        *("export", "dataset@latest", str(tmp_path / "F"), "--to=hf"), f"--store={built.location}"
    )
    assert code == 0, err
    line = next(
        words for words in (_python(text) for text in PAGE.read_text("utf-8").splitlines()) if words
    )
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "DatasetDict" in done.stdout


def _python(text: str) -> str | None:
    start = '    python -c "import datasets'
    return text.strip().removeprefix('python -c "')[:-1] if text.startswith(start) else None


def test_every_command_is_found() -> None:
    assert all(isinstance(command, Command) for command in COMMANDS)
    assert sum(command.words[1] == "export" for command in COMMANDS) == 15
