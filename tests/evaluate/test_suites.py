"""Suites: the generated world, and folders in their authors' layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from repic.evaluate import folders, settings, suites
from repic.evaluate.suites import SuiteError
from repic.profiles import profiles
from repic.sample import hard

SHARED = next(
    (
        folder
        for parent in Path(__file__).parents
        if (folder := parent / "shared" / "data" / "dreambooth").is_dir()
    ),
    None,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def photo(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)


def generated(name: str, **changes: int) -> suites.Suite:
    return suites.load(settings.load("sample", suite=name, photos=8, **changes).evaluate)


def test_the_sample_suite_shows_one_two_and_four() -> None:
    suite = generated("sample")
    sizes = {part: {len(q.concepts) for q in suite.queries if q.part == part} for part in "124"}
    assert sizes == {"1": {1}, "2": {2}, "4": {4}}
    assert [query.part for query in suite.queries].count("2") == 8
    names = [concept.name for concept in suite.concepts]
    assert len(set(names)) == len(names)
    references = {view.image_id for concept in suite.concepts for view in concept.views}
    assert not references & {query.photo.image_id for query in suite.queries}
    for query in suite.queries:
        assert {thing.name for thing in query.things} == set(query.concepts) <= set(query.among)
    assert generated("sample") == suite
    assert generated("sample", seed=1) != suite


def test_the_hard_suite_has_its_four_parts() -> None:
    suite = generated("sample-ood")
    assert {query.part for query in suite.queries} == set(hard.KINDS)


def test_a_folder_of_concepts(tmp_path: Path) -> None:
    for concept, count in (("ann", 3), ("bob", 2), ("lonely", 1)):
        for n in range(count):
            photo(tmp_path / concept / f"{n}.jpg", "red" if n else "blue")
    (tmp_path / folders.CLASSES).write_text("Classes\n\nsubject_name,class\nann,dog\nbob,cat\n")
    suite = folders.suite("dreambooth", str(tmp_path))
    assert [c.name for c in suite.concepts] == ["ann", "bob"]
    assert [q.concepts for q in suite.queries] == [("ann",), ("ann",), ("bob",)]
    assert suite.categories == ("cat", "dog")
    assert suite.concepts[0].info == "A dog."
    assert suite.concepts[0].views[0].uri.endswith("/ann/0.jpg")


def test_yollava_has_references_apart(tmp_path: Path) -> None:
    photo(tmp_path / "train" / "bo" / "0.png")
    photo(tmp_path / "test" / "bo" / "5.png")
    suite = folders.suite("yollava", str(tmp_path))
    assert [q.photo.uri.rpartition("/")[2] for q in suite.queries] == ["5.png"]


def database(file: Path, *names: str) -> None:
    entries = {
        f"<{n}>": {"name": n, "image": f"./data/{n}.jpg", "info": "A pal.", "category": "person"}
        for n in names
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"concept_dict": entries}))


def test_two_concepts_whose_names_hold_the_separator(tmp_path: Path) -> None:
    place = tmp_path / "database_tot" / "database_2_concepts"
    names = ("Ann", "Bob_and_Co", "Co")
    database(place / "database.json", *names)
    for name in names:
        photo(place / f"{name}.jpg")
    photo(tmp_path / "query-image-2-concepts" / "Ann_and_Bob_and_Co" / "1.jpg")
    suite = folders.suite("repic-2c", str(tmp_path))
    assert [q.concepts for q in suite.queries] == [("Ann", "Bob_and_Co")]
    photo(tmp_path / "query-image-2-concepts" / "Ann_and_Eve" / "1.jpg")
    with pytest.raises(SuiteError, match="Ann_and_Eve: its name is not"):
        folders.suite("repic-2c", str(tmp_path))


def test_four_concepts_are_subsets_of_a_group(tmp_path: Path) -> None:
    place = tmp_path / "database_tot" / "database_4_concepts" / "pals"
    names = ("mr.a", "b b", "c", "d", "e")
    for name in names:
        photo(place / f"{name}.jpg")
    for missing in names[:2]:
        database(place / "db" / f"{missing}.json", *(n for n in names if n != missing))
    photo(tmp_path / "query-image-4-concepts" / "group photo_pals.jpg")
    photo(tmp_path / "query-image-4-concepts" / "group photo_others.jpg")
    suite = folders.suite("repic-4c", str(tmp_path))
    assert len(suite.concepts) == 5
    assert [q.among for q in suite.queries] == [q.concepts for q in suite.queries]
    assert {len(q.concepts) for q in suite.queries} == {4}
    assert len({q.photo.image_id for q in suite.queries}) == 1


@pytest.mark.parametrize("name", list(folders.LAYOUT))
def test_what_is_missing_is_said_with_what_belongs_there(name: str, tmp_path: Path) -> None:
    for folder in (None, str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(SuiteError, match="FOLDER/"):
            folders.suite(name, folder)


def test_a_broken_photo_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "ann" / "0.jpg")
    (tmp_path / "ann" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(SuiteError, match=r"1\.jpg cannot be read"):
        folders.suite("dreambooth", str(tmp_path))


@pytest.mark.skipif(SHARED is None, reason="the photos of DreamBooth are not here")
def test_dreambooth_itself() -> None:
    suite = folders.suite("dreambooth", str(SHARED))
    assert (len(suite.concepts), len(suite.queries)) == (30, 128)
    assert len(suite.categories) == 15


@pytest.mark.parametrize("profile", profiles())
def test_every_profile_has_settings_of_an_evaluation(profile: str) -> None:
    asked = settings.load(profile, suite="sample-ood")
    assert asked.evaluate.suite == "sample-ood"
    assert asked.evaluate.layout == ("paper" if profile == "paper" else "training")
