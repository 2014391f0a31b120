"""The examples in the documentation of the API run, and print what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import datasets
import pytest

import repic
import repic.api.commands
import repic.api.store
import repic.api.version
from tests.builds import Built

datasets.disable_progress_bars()

MODULES = (repic, repic.api.commands, repic.api.store, repic.api.version)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_print_what_they_say(
    module: object, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "store").symlink_to(built.location, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, extraglobs={"repic": repic}, optionflags=flags)  # type: ignore[arg-type]
    assert result.attempted > 1
    assert result.failed == 0
