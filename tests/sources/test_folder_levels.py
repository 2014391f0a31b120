"""Which folder is the identity: found from all paths, asked for where it is open, or given."""

from __future__ import annotations

import logging
import re
from collections import Counter
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic import config
from repic.errors import ConfigError, SourceError
from repic.sources import photos
from repic.sources.folder_levels import Level, choices, named

JPEG = b"\xff\xd8\xff"

ORDERING = (
    *("train", "val", "test", "validation", "dev", "Training", "val2014", "test-dev", "train_set"),
    *("2020", "1999", "2024-05", "202405", "2024-05-17", "20240517", "2024_05_17 birthday"),
    *("17.05.2024", "May 2024", "2024 May", "Photos from 2020", "images", "JPEGImages", "photos"),
    *("DCIM", "100APPLE", "101CANON", "102_PANA", "Camera", "Camera Roll", "202405_a"),
    *("Berlin, May 17, 2024", "June 3, 2024", "17. Mai 2024", "3 juin 2024", "1 de mayo de 2024"),
    *(
        "2024年5月17日",
        "birthday 2024-05-17",
        "Summer 2023",
        "2023-Q1",
        "1980s",
        "Edited",
        "unlabeled",
    ),
    *("00000", "0001", "part-0001", "shard_3", "part-00001-of-00005", "512x512", "New folder (2)"),
)
NAMES = (
    *("ann", "Ben", "Zoé", "cat2", "backpack_dog", "7", "May", "001.Black_footed_Albatross"),
    *("train_station", "dev_patel", "Christmas 2020", "100 dogs", "imagine", "party", "王"),
    *("0", "10432", "1234567", "Berlin", "May Fair", "augustus", "mug 12", "Winter"),
)


def identities(*files: str, root: str = "album", **settings: str) -> dict[str, str | None]:
    """Path of each photo -> its identity."""
    folder = f"/{uuid4().hex}/{root}"
    memory = fsspec.filesystem("memory")
    memory.pipe({f"{folder}/{name}": JPEG for name in files})
    chosen = config.SourceSettings.model_validate({"path": f"memory:/{folder}", **settings})
    try:
        listed = list(photos(chosen, config.SplitSettings()))
    finally:
        memory.rm(folder, recursive=True)
    return {photo.uri.split(f"/{root}/", 1)[1]: photo.identity for photo in listed}


def choices_of(*files: str, **settings: str) -> list[str]:
    """The choices that a refused source shows, each as an option to paste."""
    with pytest.raises(SourceError, match="--identity") as refused:
        identities(*files, **settings)
    return re.findall(r"^  --identity (\S+) +# ", str(refused.value), re.MULTILINE)


@pytest.mark.parametrize("name", ORDERING)
def test_names_that_only_order_photos_are_no_identities(name: str) -> None:
    assert identities(f"{name}/1.jpg") == {f"{name}/1.jpg": None}
    assert set(identities(f"{name}/rex/1.jpg", f"{name}/ada/1.jpg").values()) == {"rex", "ada"}


@pytest.mark.parametrize("name", NAMES)
def test_other_names_are_identities(name: str) -> None:
    assert named([name]) == (name,)


def test_parts_of_a_date_are_no_identities() -> None:
    assert named(["2024", "5", "17", "ann"]) == ("ann",)
    assert named(["2024", "12", "24 Christmas", "ann"]) == ("ann",)
    assert named(["2024", "May", "ann", "3"]) == ("ann", "3")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("ann/1.jpg", "ben/2.jpg"), ("ann", "ben")),
        (("1.jpg", "ann/2.jpg", "ben/3.jpg"), (None, "ann", "ben")),
        (("rex/1.jpg", "rex/walks/2.jpg", "ada/3.jpg"), ("rex", "rex", "ada")),
        (("train/rex/1.jpg", "val/rex/2.jpg", "val/ada/3.jpg"), ("rex", "rex", "ada")),
        (("2020/ann/1.jpg", "2021/06/ann/2.jpg", "ben/3.jpg"), ("ann", "ann", "ben")),
        (("ann/train/1.jpg", "ann/test/2.jpg", "ben/train/3.jpg"), ("ann", "ann", "ben")),
        (("DCIM/100APPLE/1.jpg", "DCIM/101APPLE/2.jpg"), (None, None)),
        (("00000/1.jpg", "00001/2.jpg"), (None, None)),
        (("DCIM/Camera/1.jpg", "ann/2.jpg"), (None, "ann")),
        (("ann/1.jpg", "ann/Edited/1.jpg", "ben/Edited/2.jpg"), ("ann", "ann", "ben")),
        (("0/1.jpg", "1/2.jpg", "a/3.jpg", "b/4.jpg"), ("0", "1", "a", "b")),
    ],
)
def test_the_first_named_folder_is_the_identity(
    files: tuple[str, ...], expected: tuple[str | None, ...]
) -> None:
    assert identities(*files) == dict(zip(files, expected, strict=True))


def test_two_possible_levels_are_a_question() -> None:
    where = ("ann/indoor", "ann/garden", "ben/indoor")
    files = [f"{folder}/{n}.jpg" for folder in where for n in range(2)]
    assert choices_of(*files) == ["folder:1", "folder:2", "none"]
    assert choices_of("ann/beach/1.jpg", "ben/park/2.jpg") == ["folder:1", "folder:2", "none"]
    years = [f"202{n}/party/{name}/{n}.jpg" for n in range(3) for name in ("dog", "cat")]
    assert choices_of(*years) == ["folder:2", "folder:3", "none"]
    uneven = ("2020/ann/indoor/1.jpg", "ben/outdoor/2.jpg")
    assert choices_of(*uneven)[-3:] == ["folder:named", "folder:-1", "none"]
    few = [f"ann/{n}.jpg" for n in range(9)]
    same_leaf = ("ann/walks/1.jpg", "ben/walks/2.jpg")
    assert choices_of(*few, *same_leaf)[0] == "folder:1"


def test_numbers_below_a_named_folder_are_a_question() -> None:
    assert choices_of("mugs/0001/1.jpg", "cans/0002/2.jpg") == ["folder:1", "folder:2", "none"]
    assert choices_of("mugs/10432/1.jpg", "cans/98211/2.jpg") == ["folder:1", "folder:2", "none"]
    assert choices_of("laion/00000/1.jpg", "laion/00001/2.jpg") == ["folder:1", "folder:2", "none"]


@pytest.mark.parametrize("digits", ["0123456789ABCDEF", ("1f", "2c", "a0", "33", "45", "80")])
def test_folders_that_look_like_hashes_are_a_question(digits: tuple[str, ...]) -> None:
    files = [f"originals/{digit}/{n}.jpg" for digit in digits for n in range(2)]
    assert choices_of(*files) == ["folder:2", "none"]
    assert set(identities(*files, identity="folder:2").values()) == set(digits)


def test_a_choice_shows_its_identities_and_their_photos() -> None:
    with pytest.raises(SourceError) as refused:
        identities("ann/home/1.jpg", "ann/home/2.jpg", "ann/sea/3.jpg", "ben/sea/4.jpg", "5.jpg")
    lines = str(refused.value).splitlines()
    assert lines[1:] == [
        "  --identity folder:1  # 2 identities: ann (3), ben (1); 1 photo without",
        "  --identity folder:2  # 2 identities: home (2), sea (2); 1 photo without",
        "  --identity none      # no labels: identities are mined",
    ]
    assert "/album can be" in lines[0]
    assert "source.identity" in lines[0]


def test_a_chosen_level_takes_every_name() -> None:
    files = ("ann/0001/1.jpg", "ben/train/2.jpg", "3.jpg", "cid/4.jpg")
    assert list(identities(*files, identity="folder:1").values()) == [None, "ann", "ben", "cid"]
    assert list(identities(*files, identity="folder:2").values()) == [None, "0001", "train", None]
    assert list(identities(*files, identity="folder:-1").values()) == [None, "0001", "train", "cid"]
    assert list(identities(*files, identity="folder:-2").values()) == [None, "ann", "ben", None]


def test_a_level_is_a_number_and_needs_a_folder() -> None:
    for wrong in ("folder:0", "folder:", "folder:x", "Folder", "folder:1.5", "folder:2000", ""):
        with pytest.raises(ConfigError, match="folder:LEVEL"):
            config.load("photos", source={"path": "x", "identity": wrong})
    with pytest.raises(ConfigError, match="is for a source of kind folder"):
        config.load("photos", source={"kind": "coco", "path": "x", "identity": "folder:2"})
    assert config.load("photos", ("source.identity=folder:-1",)).sources[0].identity == "folder:-1"


def test_photos_that_are_labelled_need_no_level() -> None:
    folder = f"/{uuid4().hex}"
    memory = fsspec.filesystem("memory")
    memory.pipe({f"{folder}/{name}/x/1.jpg": JPEG for name in ("ann", "ben")})
    memory.pipe(f"{folder}/labels.csv", b"folder,identity\nann,Ann\nben,Ben\n")
    chosen = config.SourceSettings(path=f"memory:/{folder}")
    assert {p.identity for p in photos(chosen, config.SplitSettings())} == {"Ann", "Ben"}
    memory.rm(folder, recursive=True)


def test_labels_follow_the_level_of_identities() -> None:
    folder = f"/{uuid4().hex}"
    memory = fsspec.filesystem("memory")
    memory.pipe({f"{folder}/train/ann/{name}/1.jpg": JPEG for name in ("red_mug", "dog")})

    def labels(identity: str) -> set[str | None]:
        chosen = config.SourceSettings(path=f"memory:/{folder}", identity=identity, label="folder")
        return {p.label for p in photos(chosen, config.SplitSettings())}

    assert labels("folder:3") == {"red mug", "dog"}
    assert labels("folder:named") == labels("folder:2") == labels("none") == {"ann"}
    memory.rm(folder, recursive=True)


def test_photos_without_an_identity_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        identities("1.jpg", "ann/2.jpg", "ben/3.jpg", "train/cid/4.jpg")
    assert not caplog.messages
    identities("DCIM/100APPLE/1.jpg", "DCIM/100APPLE/2.jpg")
    assert "all photos in folders such as DCIM/100APPLE have no identity" in caplog.text
    assert "--identity folder:LEVEL" in caplog.text
    caplog.clear()
    identities("ann/1.jpg", "00001/2.jpg")
    assert "1 photo in folders such as 00001 have no identity" in caplog.text
    caplog.clear()
    identities("train/ann/1.jpg", "val/ben/2.jpg", identity="folder:1")
    assert "identities are called train, val" in caplog.text
    assert "such as ann, ben are more likely" in caplog.text
    caplog.clear()
    identities("0001/1.jpg", "0002/2.jpg", identity="folder:1")
    assert not caplog.messages


TREES = st.lists(
    st.lists(st.sampled_from((*ORDERING, *NAMES)), max_size=4).map(tuple), min_size=1, max_size=12
)


@given(TREES)
def test_a_level_never_gives_only_names_that_order_photos(
    tree: list[tuple[str, ...]],
) -> None:
    found = [Level().identity(folders) for folders in tree]
    assert all(name is None or named([name]) == (name,) for name in found)
    if any(found):
        for level in choices(Counter(tree)):
            assert any(level.identity(folders) in named(folders) for folders in tree)
            assert Level.of_setting(str(level)) == level


@given(TREES, st.sampled_from((*ORDERING, *NAMES)))
def test_the_name_of_the_root_changes_nothing(tree: list[tuple[str, ...]], root: str) -> None:
    files = [f"{'/'.join((*folders, str(n)))}.jpg" for n, folders in enumerate(tree)]
    assert outcome(*files, root=root) == outcome(*files, root="album")


def outcome(*files: str, root: str) -> object:
    """The identities, or the lines of the question."""
    try:
        return identities(*files, root=root)
    except SourceError as question:
        return str(question).splitlines()[1:]
