"""Reading of local files of data sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repic.errors import SourceError
from repic.sources import local_files


@pytest.mark.parametrize(
    "read",
    [
        lambda path: local_files.content(path, 9),
        lambda path: local_files.text(path, 9),
        lambda path: list(local_files.lines(path)),
    ],
    ids=["content", "text", "lines"],
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(SourceError, match=r"list\.txt cannot be read: it is a pipe"):
        read(tmp_path / "list.txt")


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * 7)
    assert local_files.text(path, 10) == "x" * 7
    with pytest.raises(SourceError, match="has more than"):
        local_files.text(path, 9)


def test_text_is_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    for read in (
        lambda path: local_files.text(path, 9),
        lambda path: list(local_files.lines(path)),
    ):
        with pytest.raises(SourceError, match="is not UTF-8 text"):
            read(tmp_path / "a.txt")
