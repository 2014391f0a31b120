"""What counts as a file of a folder, and which number its name has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage import listing
from storage.errors import StoreError


def test_names_are_of_files_and_numbers_of_names(tmp_path: Path) -> None:
    for name in ("v000002.json", "v000010.json", "v1000000.json", "v7.json", "x\nv000009.json"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "v000003.json").mkdir()
    (tmp_path / "v000004.json").symlink_to("v000002.json")
    names = listing.names(str(tmp_path))
    assert set(names) == {path.name for path in tmp_path.iterdir()} - {"v000003.json"}
    assert listing.numbers(names, "v") == [2, 4, 10, 1_000_000]
    chosen = ["v000002.json", "v000003.json", "v000004.json", "v000005.json"]
    assert listing.present(str(tmp_path), chosen) == {"v000002.json", "v000004.json"}
    assert listing.present(str(tmp_path), ["v000002.json"]) == {"v000002.json"}
    assert listing.names(str(tmp_path / "nowhere")) == []
    inside = {os.path.relpath(path, tmp_path) for path in listing.sizes(str(tmp_path))}
    assert inside == set(names)


@pytest.mark.parametrize("listed", [listing.names, listing.sizes])
def test_what_hides_files_is_an_error(tmp_path: Path, listed) -> None:
    (tmp_path / "elsewhere").mkdir()
    for number, target in enumerate(("elsewhere", "nowhere", "pipe")):
        folder = tmp_path / str(number)
        folder.mkdir()
        if target == "pipe":
            os.mkfifo(folder / "pipe")
        else:
            (folder / "link").symlink_to(tmp_path / target)
        with pytest.raises(StoreError, match=r"is a link to|is not a regular file"):
            listed(str(folder))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="that is not there"):
        listed(str(tmp_path / "gone"))
