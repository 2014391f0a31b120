"""Real folders: every file is used, listed as a copy, or quarantined with its reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from repic import config
from repic.config import Settings
from repic.errors import SourceError
from repic.pipeline.execution import build as run_build
from repic.pipeline.scan import scan
from storage.store import Store
from tests.builds import PROGRAM, Album, Built, build, contents
from tests.odd_images import HEIC, ODD, encode, flat, picture

Main = Callable[..., tuple[int, str, str]]

ANY_NUMBER = "quarantine.budget=1"
"""Accepts any number of bad files."""


def folder_settings(folder: Path, album: Album, *overrides: str) -> Settings:
    """A plain folder: no annotations, so no boxes."""
    source = {"kind": "folder", "path": str(folder)}
    changes = (*album.overrides, ANY_NUMBER, *overrides)
    return config.load("photos", changes, source=source)


def accounted(store: Store) -> int:
    images = store.read("images@latest")["also_at"].to_pylist()
    return len(images) + sum(map(len, images)) + store.manifest("quarantine@latest").rows


def test_every_odd_file_is_accounted_for(album: Album, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for odd in ODD:
        odd.write(photos / odd.name)
    for number in range(6):
        shutil.copy(album.file(number), photos / f"good-{number}.jpg")
    store = Store.open(tmp_path / "store", create=True)
    outcome = build(folder_settings(photos, album), store)
    assert outcome.files == len(ODD) + 6 == accounted(store)
    quarantine = {
        row["uri"].rpartition("/")[2]: row for row in store.read("quarantine@latest").to_pylist()
    }
    expected = {quote(os.fsencode(o.name)): o.reason for o in ODD if o.reason}
    assert {name: row["error"] for name, row in quarantine.items()} == expected
    assert all(row["message"] and row["stage"] == "images" for row in quarantine.values())
    again = build(folder_settings(photos, album), store)
    assert (again.published, again.processed) == (False, {})
    fresh = build(folder_settings(photos, album), Store.open(tmp_path / "fresh", create=True))
    assert contents(again) == contents(fresh)


NO_PLUGINS = """
import sys
for module in ("PIL._avif", "pillow_avif", "pillow_heif", "pillow_heif.HeifImagePlugin"):
    sys.modules[module] = None
from repic.cli import main
main()
"""
"""A Pillow that was built without AVIF, and no plugin."""


@pytest.mark.slow
def test_a_build_without_decoders_says_which_and_a_retry_with_them_uses_the_photos(
    album: Album, tmp_path: Path, repic_main: Main
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(album.file(0), photos / "good.jpg")
    (photos / "photo.avif").write_bytes(encode(picture(), "AVIF"))
    (photos / "any-codec.avif").write_bytes(
        encode(picture().rotate(90), "AVIF").replace(b"avif", b"mif1", 1)
    )
    (photos / "photo.heic").write_bytes(HEIC)
    changes = [f"--set={change}" for change in (*album.overrides, ANY_NUMBER)]
    where = f"--store={tmp_path / 'store'}"
    command = [sys.executable, "-c", NO_PLUGINS, "build", "--images", str(photos), *changes, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    store = Store.open(tmp_path / "store")
    refused = {
        row["uri"].rpartition("/")[2]: (row["error"], row["message"].partition("pip install ")[2])
        for row in store.read("quarantine@latest").to_pylist()
    }
    assert refused == {
        "photo.avif": ("unsupported", "pillow-avif-plugin` to read it"),
        "any-codec.avif": ("unsupported", "pillow-avif-plugin` to read it"),
        "photo.heic": ("unsupported", "'repic[heic]'` to read it"),
    }
    code, out, err = repic_main("quarantine", "retry", "--json", where)
    assert code == 0, err
    assert {uri.rpartition("/")[2] for uri in json.loads(out)["used"]} == {
        *("photo.avif", "any-codec.avif")
    }
    assert "probes: 2 to do, 1 cached" in err


def test_a_file_without_permission_is_quarantined_and_used_once_it_may_be_read(
    album: Album, tmp_path: Path
) -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # not in pytest's, which only its owner may enter
        photos = Path(folder)
        photos.chmod(0o755)
        for number in range(3):
            shutil.copy(album.file(number), photos / f"{number}.jpg")
        (photos / "1.jpg").chmod(0)
        settings = folder_settings(photos, album)
        if user == 0:
            os.seteuid(65534)  # root may read everything
        try:
            scanned = scan(settings)
        finally:
            os.seteuid(user)
        store = Store.open(tmp_path / "store", create=True)
        outcome = run_build(settings, store, scanned)
        (refused,) = store.read("quarantine@latest").to_pylist()
        assert (refused["error"], refused["stage"]) == ("unreadable", "images")
        assert refused["uri"].endswith("/1.jpg")
        assert outcome.tables["images"].rows == 2
        (photos / "1.jpg").chmod(0o644)
        again = build(settings, store)
    assert again.processed["probes"] == 1
    assert again.tables["quarantine"].rows == 0


@pytest.mark.slow
def test_memory_stays_bounded(album: Album, tmp_path: Path) -> None:
    """Bombs and giants are refused by their headers: they cost no more than ordinary photos."""
    peak = {}
    for name, files in (("good", []), ("bad", ODD)):
        photos = tmp_path / name
        photos.mkdir()
        for number in range(6):
            shutil.copy(album.file(number), photos / f"good-{number}.jpg")
        for copy in range(3 if files else 0):
            (photos / str(copy)).mkdir()
            for odd in files:
                odd.write(photos / str(copy) / odd.name)
        changes = [f"--set={change}" for change in (*album.overrides, ANY_NUMBER)]
        command = [*PROGRAM, "build", "--images", str(photos), *changes]
        process = subprocess.Popen(
            [*command, f"--store={tmp_path / name}.store"], stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peak[name] = usage.ru_maxrss / 1024  # MiB
    assert peak["bad"] < peak["good"] + 200, peak


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_accepted_giants_are_not_in_memory_together(album: Album, tmp_path: Path) -> None:
    """Ten flat photos of 144 megapixels, 0.6 GB each when decoded, seen by every stage."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(10):
        (photos / f"{number}.png").write_bytes(flat(12_000, number))
    encoder = f"--set=encoder.pretrained={album.encoder}"
    command = [*PROGRAM, "build", "--images", str(photos), encoder, "--set=runtime.threads=1"]
    process = subprocess.Popen([*command, f"--store={tmp_path / 'store'}"])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    store = Store.open(tmp_path / "store")
    assert store.manifest("images@latest").rows == 10
    assert store.manifest("embeddings@latest").rows == store.manifest("objects@latest").rows > 0
    assert usage.ru_maxrss / 2**20 < 4, "GiB; 2.4 here, all at once 5.8 and a build"


def test_bad_files_among_good_ones_end_well_on_the_command_line(
    album: Album, tmp_path: Path, repic_main: Main
) -> None:
    mine = album.copy(tmp_path / "album")
    bad = {
        "zero": b"",
        "text": b"no photo at all",
        "cut": mine.file(3).read_bytes()[:900],
        "line": encode(picture((300, 7)), "PNG"),
    }
    numbers = dict(zip(bad, range(10, 14), strict=True))
    for name, data in bad.items():
        mine.file(numbers[name]).write_bytes(data)
    mine.file(20).unlink()
    mine.file(21).unlink()
    mine.file(21).mkdir()
    store = tmp_path / "store"
    arguments = [*mine.arguments, f"--set={ANY_NUMBER}", f"--store={store}"]
    code, out, err = repic_main(*arguments, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["files"] == len(mine.entries) == report["rows"]["images"] + 6
    assert report["rows"]["quarantine"] == 6
    assert report["rows"]["examples"] > 0
    code, out, _ = repic_main("quarantine", "--json", f"--store={store}")
    assert code == 0
    errors = {row["uri"].rpartition("/")[2]: row["error"] for row in json.loads(out)}
    assert errors == {
        mine.entries[10]["file"]: "empty",
        mine.entries[11]["file"]: "not-an-image",
        mine.entries[12]["file"]: "truncated",
        mine.entries[13]["file"]: "too-small",
        mine.entries[20]["file"]: "missing",
        mine.entries[21]["file"]: "not-a-file",
    }
    code, out, _ = repic_main("quarantine", f"--store={store}")
    assert "truncated" in out
    code, out, _ = repic_main(*arguments)
    assert "6 quarantined" in out
    assert "`repic quarantine` lists the reasons" in out


def sentence_of(result: tuple[int, str, str]) -> str:
    """The sentence of an error that the user can fix."""
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("repic: ")]
    assert len(lines) == 1, err
    return lines[0]


def test_a_folder_without_photos(tmp_path: Path, repic_main: Main) -> None:
    (tmp_path / "notes.md").write_text("nothing here")
    store = f"--store={tmp_path / 'store'}"
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "notes.md"):
        message = sentence_of(repic_main("build", "--images", str(folder), store))
        assert str(folder) in message
        assert "give" in message
    assert not (tmp_path / "store").exists(), "a typo leaves nothing behind"


def test_a_folder_of_nothing_but_bad_files_is_refused(
    album: Album, built: Built, tmp_path: Path, repic_main: Main
) -> None:
    """An unplugged disk or a broken copy must not replace the latest version by an empty one."""
    store = built.copy(tmp_path / "store")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(b"")
    (photos / "cut.jpg").write_bytes(encode(picture(), "JPEG")[:200])
    changes = [f"--set={change}" for change in album.overrides]
    message = sentence_of(
        repic_main("build", f"--images={photos}", *changes, f"--store={store.location}")
    )
    assert "none of 4 photos can be used" in message
    assert "3 empty" in message
    assert "give other photos" in message
    assert store.versions("dataset") == [1]
    assert store.manifest("images@latest").version == 1


def test_a_store_that_cannot_be_written(album: Album, tmp_path: Path, repic_main: Main) -> None:
    (tmp_path / "file").write_text("in the way")
    message = sentence_of(repic_main(*album.arguments, f"--store={tmp_path / 'file'}"))
    assert str(tmp_path / "file") in message
    message = sentence_of(repic_main(*album.arguments, f"--store={tmp_path / 'file' / 'below'}"))
    assert "move it, or choose another store" in message
    if os.path.isdir("/proc"):
        message = sentence_of(repic_main(*album.arguments, "--store=/proc/store"))
        assert "/proc" in message
    message = sentence_of(repic_main(*album.arguments, "--store=http://localhost/store"))
    assert "use a local folder" in message or "http" in message


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("detector.confidance=0.5", "detector.confidence"),
        ("minning.hard_per_object=1", "mining"),
        ("confidence=0.5", "detector.confidence"),
        ("detector.confidence=high", "detector.confidence"),
        ("detector.confidence=2", "detector.confidence"),
        ("detector.kind", "section.key=value"),
        ("detector.kind=yolo9000", "detector.kind"),
        ("encoder.pretrained=local-dir:/nowhere", "/nowhere"),
        ("runtime.device=quantum", "quantum"),
    ],
)
def test_a_wrong_setting(
    change: str, hint: str, album: Album, tmp_path: Path, repic_main: Main
) -> None:
    store = tmp_path / "store"
    message = sentence_of(repic_main(*album.arguments, f"--set={change}", f"--store={store}"))
    assert hint in message
    if store.exists():
        assert not Store.open(store).current().refs


def test_a_profile_that_does_not_exist(tmp_path: Path, repic_main: Main) -> None:
    store = f"--store={tmp_path / 'store'}"
    assert "sample" in sentence_of(repic_main("build", "--profile", "smaple", store))
    assert "no.yaml" in sentence_of(repic_main("build", "--profile", "no.yaml", store))
    bad = tmp_path / "bad.yaml"
    bad.write_text("source: [")
    assert "YAML" in sentence_of(repic_main("build", "--profile", str(bad), store))
    assert "--images" in sentence_of(repic_main("build", store))


def test_photos_without_any_object(album: Album, tmp_path: Path, repic_main: Main) -> None:
    """Photos without any detected object give a build, which reports what is missing."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        shutil.copy(album.file(number), photos)
    changes = [f"--set={change}" for change in album.overrides]
    store = tmp_path / "store"
    arguments = ["build", f"--images={photos}", *changes, f"--store={store}"]
    code, out, err = repic_main(*arguments)
    assert code == 0, err
    assert "0 objects" in out
    for objective in ("oct", "vlt", "ict"):
        assert f"no {objective} examples: " in out
    opened = Store.open(store)
    assert opened.read("examples@latest").num_rows == 0
    assert opened.read("embeddings@latest").num_rows == 0
    notes = opened.manifest("dataset@latest").notes
    assert notes["objects"]["photos_without_objects"] == 4
    assert all(note["why"] for note in notes["examples"].values())
    code, out, err = repic_main(
        "sql", "select count(*) as n from pair_photos", "--store", str(store)
    )
    assert code == 0, err
    code, out, err = repic_main("verify", "--store", str(store))
    assert code == 0


def test_an_objective_without_rows_says_why(album: Album, tmp_path: Path, repic_main: Main) -> None:
    """Every photo shows a different identity, so there is nothing to compare."""
    mine = album.copy(tmp_path / "album")
    entries = []
    for number, entry in enumerate(mine.entries[:10]):
        thing = {**entry["objects"][0], "identity": f"only {number}"}
        entries.append({**entry, "objects": [thing]})
    mine = replace(mine, entries=tuple(entries), rest=()).written()
    store = tmp_path / "store"
    code, out, err = repic_main(*mine.arguments, f"--store={store}")
    assert code == 0, err
    notes = Store.open(store).manifest("dataset@latest").notes["examples"]
    assert notes["vlt"]["why"] is None
    assert notes["vlt"]["rows"]
    for objective in ("oct", "ict"):
        why = notes[objective]["why"]
        assert why
        assert f"no {objective} examples: {why}" in out


def test_photos_that_are_elsewhere_are_named_with_the_setting(album: Album, tmp_path: Path) -> None:
    settings = config.load(
        "photos", album.overrides, source={**album.source, "images": None, "identity": "none"}
    )
    with pytest.raises(SourceError, match=r"say where the photos of coco are \(source.images\)"):
        build(settings, Store.open(tmp_path / "store", create=True))
