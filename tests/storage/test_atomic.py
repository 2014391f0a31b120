"""Replacing a file: all of the new content, or the old file as it was."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from storage.atomic import replacing


def test_a_path_has_its_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    for content in (b"one", b"two"):
        before = path.read_bytes() if path.exists() else None
        with replacing(path) as file:
            file.write(content)
            file.flush()
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["b.txt"]


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with suppress(KeyboardInterrupt), replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_of_the_replaced_file_stay(tmp_path: Path) -> None:
    path, new = tmp_path / "a.txt", tmp_path / ("n" * 255)
    path.write_bytes(b"old")
    path.chmod(0o604)
    for each in (path, new):
        with replacing(each) as file:
            file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o604
    (tmp_path / "other").touch()
    assert new.stat().st_mode == (tmp_path / "other").stat().st_mode
