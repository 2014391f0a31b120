"""A build that lost most of the last version of the same settings does not move `latest`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.errors import ShrinkError
from repic.pipeline import failures, shrinkage
from repic.pipeline.build import BuildResult
from repic.pipeline.execution import build as run_build
from repic.pipeline.scan import scan
from repic.pipeline.shrinkage import Size
from storage.store import Store
from tests.builds import PHOTOS, Album, Built, build

FEW = PHOTOS // 10


@pytest.fixture(scope="module")
def first(built: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Album, Path]:
    """A store whose latest dataset is of an album that tests copy back and change."""
    folder = tmp_path_factory.mktemp("shrinkage")
    album = built.album.copy(folder / "album")
    build(album.settings(), built.copy(folder / "store"))
    return album, folder / "store"


@pytest.fixture
def store(first: tuple[Album, Path], tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(first[1], tmp_path / "store"))


@pytest.fixture
def photos(first: tuple[Album, Path]) -> Album:
    """The album in its own folder, complete."""
    return first[0].written()


def latest(store: Store) -> str:
    return str(Store.open(store.location).manifest("dataset@latest").ref)


def allowed(album: Album, store: Store, *overrides: str) -> BuildResult:
    settings = album.settings(*overrides)
    return run_build(settings, store, scan(settings), allow_shrink=True)


def annotations(album: Album, change: Callable[[list[dict]], list[dict]]) -> Album:
    """The album with other annotations in its COCO file."""
    file = album.folder / "instances.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "annotations": change(data["annotations"])}))
    return album


def mostly_of_no_photo(rows: list[dict]) -> list[dict]:
    others = [{**row, "image_id": f"photo {row['image_id']}"} for row in rows[9:]]
    return rows[:9] + others


def without_identities(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "identity"} for row in rows]


def test_a_tenth_of_the_photos_does_not_become_latest(photos: Album, store: Store) -> None:
    before = latest(store)
    with pytest.raises(ShrinkError) as refused:
        build(photos.without(PHOTOS - FEW).settings(), store)
    message = str(refused.value)
    assert f"{FEW} of the {PHOTOS} photos" in message
    assert before in message
    assert "--allow-shrink" in message
    assert latest(store) == before
    assert failures.find(store)[0].error == "ShrinkError"


@pytest.mark.parametrize("change", [mostly_of_no_photo, without_identities, lambda rows: []])
def test_annotations_that_are_lost_do_not_become_latest(
    change: Callable[[list[dict]], list[dict]], photos: Album, store: Store
) -> None:
    before = latest(store)
    with pytest.raises(ShrinkError, match="oct rows"):
        build(annotations(photos, change).settings(), store)
    assert latest(store) == before


def test_an_accepted_shrink_is_the_measure_of_the_next_build(photos: Album, store: Store) -> None:
    few = photos.without(PHOTOS - FEW)
    assert allowed(few, store).published
    assert not build(few.settings(), store).published
    assert build(few.settings("quarantine.budget=0.5"), store).dataset.rows < album_rows(store)


def album_rows(store: Store) -> int:
    return store.manifest("dataset@v1").rows


def test_the_latest_of_these_settings_counts_not_a_newer_one_that_was_undone(
    photos: Album, store: Store
) -> None:
    allowed(photos.without(PHOTOS - FEW), store)
    build(photos.written().settings(), store)  # the complete album is latest again
    with pytest.raises(ShrinkError):
        build(photos.without(PHOTOS - FEW).settings(), store)


def test_fewer_photos_are_no_shrink_while_half_of_everything_is_left(
    photos: Album, store: Store
) -> None:
    assert build(photos.without(5).settings(), store).published


def test_other_settings_explain_another_size(photos: Album, store: Store) -> None:
    assert build(photos.settings("examples.total=6"), store).published
    only_ict = "examples.shares={oct: 0, vlt: 0, ict: 1}"
    assert build(photos.settings(only_ict), store).published


def test_another_source_explains_another_size_but_not_an_empty_version(
    photos: Album, store: Store, tmp_path: Path
) -> None:
    other = photos.copy(tmp_path / "other")
    assert build(other.without(PHOTOS // 2 + 4).settings(), store).published
    empty = annotations(photos.copy(tmp_path / "empty"), lambda rows: [])
    with pytest.raises(ShrinkError, match=r"none of the \d+ rows"):
        build(empty.settings(), store)


def test_two_sources_that_alternate_are_each_compared_with_themselves(
    photos: Album, store: Store, tmp_path: Path
) -> None:
    small = photos.copy(tmp_path / "small").without(PHOTOS // 2 + 4)
    build(small.settings(), store)
    build(photos.settings(), store)
    assert not build(small.settings(), store).published


def test_a_first_build_may_have_no_row(photos: Album, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "new", create=True)
    empty = annotations(photos, lambda rows: [])
    assert build(empty.settings(), store).tables["examples"].rows == 0


def test_a_lost_version_is_no_reason_to_refuse(photos: Album, store: Store) -> None:
    for dataset in Path(store.location, "manifests", "examples").iterdir():
        dataset.unlink()
    assert build(photos.without(PHOTOS - FEW).settings(), Store.open(store.location)).published


def test_the_option_accepts_a_shrink_and_a_refresh_asks_for_it_too(
    photos: Album, store: Store, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    few = photos.without(PHOTOS - FEW)
    of_store = ("--store", store.location)
    code, _, error = repic_main(*few.arguments, *of_store)
    assert code == 2
    assert "--allow-shrink" in error
    assert "Traceback" not in error
    refreshed = ("refresh", "run", "--profile", "photos", *few.arguments[1:])
    code, _, error = repic_main(*refreshed, *of_store)
    assert code == 2
    assert "--allow-shrink" in error
    code, printed, _ = repic_main(*few.arguments, "--allow-shrink", "--json", *of_store)
    assert code == 0
    assert json.loads(printed)["dataset"] == latest(store)


counts = st.dictionaries(st.sampled_from(["oct", "vlt", "ict"]), st.integers(0, 1000))


@given(st.builds(Size, st.integers(1, 1000), counts), st.builds(Size, st.integers(1, 1000), counts))
def test_exactly_large_losses_are_named(then: Size, now: Size) -> None:
    lost = shrinkage.losses(then, now)
    photos = [now.photos < then.photos / 2]
    rows = [
        (now.rows.get(name, 0) == 0 or now.rows.get(name, 0) < count / 2)
        and (now.rows.get(name, 0) == 0 or count - now.rows.get(name, 0) >= 10)
        for name, count in then.rows.items()
        if count
    ]
    assert len(lost) == sum(photos + rows)
    assert not shrinkage.losses(then, then)
