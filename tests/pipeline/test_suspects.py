"""Labels that are probably wrong are told after a build and by `doctor dataset`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from repic import mining
from repic.pipeline import suspects
from storage.store import Store
from tests.builds import Album
from tests.mining.test_mining import world
from tests.shared_data import shared_folder

Main = Callable[..., tuple[int, str, str]]
PHOTOS = shared_folder("dreambooth")


def notes(
    names: list[str | None], vectors: np.ndarray, sources: tuple[str, ...] = ("folder",)
) -> suspects.Note:
    """Notes on photos with one object each, of the sources in turn."""
    photos = [f"{number:04}" for number in range(len(names))]
    objects = pa.table({"image_id": photos, "identity": pa.array(names, pa.string())})
    of = [sources[number % len(sources)] for number in range(len(names))]
    images = pa.table({"image_id": photos, "source": of})
    known = sorted({name for name in names if name})
    codes = np.array([known.index(name) if name else -1 for name in names])
    each = np.arange(len(names))
    return suspects.find(objects, images, mining.analyze(vectors, each, each, codes))


def test_an_identity_with_most_photos_and_several_subjects_is_named() -> None:
    vectors, subject = world([6] * 8, categories=8, noise=0.4)
    named: list[str | None] = ["train" if s < 5 else f"s{s}" for s in subject]
    several, most = map(str, suspects.suspicions(notes(named, vectors)))
    assert several.startswith("1 identity looks like several subjects: train (30 photos in 5 group")
    assert "train (in 30 of the 48 photos of folder)" in most
    assert "--identity folder:LEVEL" in several
    assert "--identity folder:LEVEL" in most


def test_good_labels_say_nothing() -> None:
    vectors, subject = world([6] * 8, categories=8, noise=0.4)
    assert suspects.suspicions(notes([f"s{s}" for s in subject], vectors)) == []
    assert suspects.suspicions(notes([None] * len(subject), vectors)) == []
    few = vectors[:6]
    assert suspects.suspicions(notes(["ann"] * 5 + ["ben"], few)) == []
    assert suspects.suspicions({}) == []


def test_identities_of_one_name_in_two_sources_are_said_with_the_remedy() -> None:
    vectors, _ = world([6] * 8, categories=8, noise=0.4)
    [said] = suspects.suspicions(notes(["7", "7", "8"], vectors[[0, 1, 6]], ("celeba", "folder")))
    assert said.found == (
        "1 name is an identity of several sources, each counted as one subject: 7 (celeba, folder)"
    )
    assert "set sources.NAME.identity_scope=source" in said.remedy


@pytest.mark.slow
@pytest.mark.skipif(PHOTOS is None, reason="no real photos beside the clone")
def test_real_photos_are_suspected_only_if_subjects_are_merged(
    tmp_path: Path, repic_main: Main
) -> None:
    assert PHOTOS
    subjects = sorted(path.name for path in PHOTOS.iterdir() if path.is_dir())
    for number, name in enumerate(subjects):
        for root, folder in (("right", name), ("merged", f"m{number // 2}")):
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for photo in (PHOTOS / name).glob("*.jpg"):
                os.symlink(photo, tmp_path / root / folder / f"{name}-{photo.name}")
    store = f"--store={tmp_path / 'store'}"
    code, out, err = repic_main("build", f"--images={tmp_path / 'right'}", store)
    assert code == 0, err
    assert "look like several subjects" not in out
    assert "most photos" not in out
    code, out, err = repic_main("build", f"--images={tmp_path / 'merged'}", store)
    assert code == 0, err
    assert "identities look like several subjects: m0 (11 photos in 2 groups), m1 (" in out
    _, out, _ = repic_main("doctor", "dataset", store)
    assert "identities look like several subjects: m0 (" in out


def test_annotated_identities_without_a_box_are_counted(
    album: Album, repic_main: Main, tmp_path: Path
) -> None:
    code, out, err = repic_main(
        *album.arguments, "--set=detector.min_area_share=0.1", "--store", str(tmp_path / "store")
    )
    assert code == 0, err
    total = sum(len({o["identity"] for o in entry["objects"]}) for entry in album.entries)
    store = Store.open(tmp_path / "store")
    objects = store.read("objects@latest")
    found = len(set(zip(*(objects[n].to_pylist() for n in ("image_id", "identity")), strict=True)))
    assert 0 < found < total
    assert f"{total - found} of {total} annotated identities are on no box" in " ".join(out.split())
