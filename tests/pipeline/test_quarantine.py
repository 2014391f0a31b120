"""The budget of bad files, and the retry after a repair."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from repic.errors import QuarantineError
from repic.pipeline.build import Build
from repic.pipeline.scan import scan
from repic.pipeline.stages.quarantine import allowed
from storage.store import Store
from tests.builds import MORE, PHOTOS, Album, Built, build
from tests.odd_images import HEIC

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(built: Built, tmp_path: Path) -> Album:
    return built.album.copy(tmp_path / "album")


@pytest.mark.parametrize(
    ("budget", "files", "limit"),
    [(0, 1000, 0), (0.01, 50, 1), (0.01, 300, 3), (0.01, 399, 3), (0.29, 100, 29), (1, 7, 7)],
)
def test_so_many_may_be_refused(budget: float, files: int, limit: int) -> None:
    assert allowed(budget, files) == limit


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_budget_allows_no_less(files: int, one: float, other: float) -> None:
    assert allowed(min(one, other), files) <= allowed(max(one, other), files) <= files


def test_the_budget_changes_no_fingerprint(built: Built) -> None:
    album, store = built.album, built.store
    strict, lax = album.settings("quarantine.budget=0"), album.settings("quarantine.budget=1")
    scanned = scan(strict)
    assert Build(strict, store, scanned).fingerprints == Build(lax, store, scanned).fingerprints


def test_one_bad_file_is_tolerated_and_with_a_budget_of_nothing_is_not(
    mine: Album, tmp_path: Path
) -> None:
    mine.file(0).write_bytes(b"")
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises(QuarantineError, match="allows 0"):
        build(mine.settings("quarantine.budget=0"), store)
    assert not store.current().refs
    assert build(mine.settings(), store).tables["quarantine"].rows == 1


def test_above_the_budget_nothing_is_published(
    built: Built, mine: Album, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    before, kept = store.current(), mine.file(1).read_bytes()
    mine.file(0).write_bytes(b"")
    mine.file(1).write_bytes(kept[:900])
    where = f"--store={store.location}"
    code, out, err = repic_main(*mine.arguments, where)
    assert (code, out) == (2, "")
    (message,) = (line for line in err.splitlines() if line.startswith("repic: "))
    assert f"nothing was published: 2 of {PHOTOS} files cannot be used" in message
    assert "1 empty" in message
    assert "1 truncated" in message
    assert "allows 1" in message
    assert "--set quarantine.budget=0.05" in message
    assert store.current() == before
    assert store.versions("dataset") == [1]

    code, out, _ = repic_main("quarantine", "--json", where)
    assert json.loads(out) == []
    code, out, _ = repic_main("quarantine", "--of", "quarantine@v2", "--json", where)
    assert code == 0
    assert "repic quarantine --of quarantine@v2" in message
    assert sorted(row["error"] for row in json.loads(out)) == ["empty", "truncated"]

    accepted = build(mine.settings("quarantine.budget=0.05"), store)
    assert accepted.published
    assert accepted.processed == {}, "what the refused build had computed was kept"
    with pytest.raises(QuarantineError):
        build(mine.settings(), store)
    assert store.resolve("dataset@latest") == accepted.dataset.ref


def test_every_place_of_the_same_bad_bytes_counts(mine: Album, tmp_path: Path) -> None:
    cut = mine.file(0).read_bytes()[:900]
    for number in range(3):
        mine.file(number).write_bytes(cut)
    with pytest.raises(QuarantineError, match=f"3 of {PHOTOS} files .* \\(3 truncated\\)"):
        build(mine.settings(), Store.open(tmp_path / "store", create=True))


def test_retry_processes_exactly_what_was_repaired(
    mine: Album, tmp_path: Path, repic_main: Main
) -> None:
    safe = [shutil.copy(mine.file(n), tmp_path / f"{n}.jpg") for n in range(4)]
    mine.file(0).write_bytes(b"")
    mine.file(1).write_bytes(mine.file(1).read_bytes()[:900])
    mine.file(2).write_bytes(b"no photo")
    mine.file(3).unlink()
    settings = mine.settings("quarantine.budget=0.2")
    store = Store.open(tmp_path / "store", create=True)
    build(settings, store)
    for number in (0, 1):
        shutil.copy(safe[number], mine.file(number))
    where = f"--store={store.location}"
    code, out, err = repic_main("quarantine", "retry", "--json", where)
    assert code == 0, err
    report = json.loads(out)
    names = {mine.entries[n]["file"] for n in (0, 1)}
    assert {uri.rpartition("/")[2] for uri in report["used"]} == names
    assert sorted(report["refused"].values()) == ["missing", "not-an-image"]
    assert (report["gone"], report["dataset"]) == ([], "dataset@v2")
    assert "probes: 2 to do, 37 cached" in err
    assert store.manifest("dataset@latest").settings["quarantine"] == {"budget": 0.2}

    shutil.copy(safe[3], mine.file(3))
    code, out, err = repic_main("quarantine", "retry", where)
    assert code == 0, err
    assert "1 of 2 are used now, 1 still refused, 0 gone from the source: dataset@v3" in out
    assert "not-an-image" in out
    assert "probes: 1 to do" in err


@pytest.mark.slow
def test_retry_from_another_folder_leaves_new_photos_to_the_next_build(
    mine: Album,
    tmp_path: Path,
    repic_main: Main,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    safe = shutil.copy(mine.file(0), tmp_path / "safe.jpg")
    mine.file(0).write_bytes(b"")
    store = Store.open(tmp_path / "store", create=True)
    where = f"--store={store.location}"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mine.encoder.removeprefix("local-dir:"), "encoder")
    relative = [a.replace(f"{mine.folder}/", "album/") for a in mine.arguments]
    relative = [a.replace(mine.encoder, "local-dir:encoder") for a in relative]
    assert any(a.endswith("=album/instances.json") for a in relative)
    code, _, err = repic_main(*relative, where)
    assert code == 0, err
    shutil.copy(safe, mine.file(0))
    mine.grown()
    monkeypatch.chdir("/")
    code, out, err = repic_main("quarantine", "retry", "--json", where)
    assert code == 0, err
    assert len(json.loads(out)["used"]) == 1
    assert "probes: 1 to do" in err
    assert store.manifest("images@latest").rows == PHOTOS
    assert store.manifest("quarantine@latest").rows == 0
    assert build(mine.grown().settings(), store).processed["probes"] == MORE

    shutil.rmtree(mine.folder / "photos")
    mine.without(PHOTOS).written()
    code, _, err = repic_main("quarantine", "retry", where)
    assert code == 2


def test_retry_before_anything_was_published(mine: Album, tmp_path: Path, repic_main: Main) -> None:
    store = Store.open(tmp_path / "store", create=True)
    code, out, err = repic_main("quarantine", "retry", f"--store={store.location}")
    assert (code, out) == (2, "")
    assert "Nothing was published yet" in err


def test_a_missing_decoder_is_no_fault_of_the_photo(
    mine: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes are used as soon as they are readable, and only they are processed."""
    photo = mine.file(0)
    photo.write_bytes(HEIC + photo.read_bytes())
    store = Store.open(tmp_path / "store", create=True)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    first = build(mine.settings(), store)
    (refused,) = store.read("quarantine@latest").to_pylist()
    assert refused["error"] == "unsupported"
    assert build(mine.settings(), store).processed == {}

    def plugin(file: io.BytesIO, name: str) -> Image.Image:
        return JpegImagePlugin.JpegImageFile(io.BytesIO(file.read()[len(HEIC) :]))

    monkeypatch.setitem(Image.OPEN, "HEIF", (plugin, lambda head: head[4:12] == b"ftypheic"))
    second = build(mine.settings(), store)
    assert second.tables["images"].rows == first.tables["images"].rows + 1 == PHOTOS
    assert second.tables["quarantine"].rows == 0
    assert second.processed["probes"] == 1
