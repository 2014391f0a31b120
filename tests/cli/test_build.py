"""Options and output of `repic build`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.store import Store
from tests.builds import PHOTOS, Built, start

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Store:
    return built.copy(tmp_path / "store")


def test_json_has_what_a_program_needs(built: Built, store: Store, repic_main: Main) -> None:
    code, out, _ = repic_main(*built.album.arguments, "--json", f"--store={store.location}")
    assert code == 0
    summary = json.loads(out)
    assert summary.keys() >= {
        *("dataset", "published", "fingerprint", "content", "files", "rows", "processed"),
        *("notes", "seconds", "copies"),
    }
    assert summary["files"] == PHOTOS
    assert summary["rows"] == {n: m.rows for n, m in built.outcome.tables.items()}
    assert summary["content"] == built.outcome.dataset.content


def test_results_go_to_standard_output_and_progress_does_not(
    built: Built, store: Store, repic_main: Main
) -> None:
    change = "--set=encoder.margin=0.2"
    code, out, err = repic_main(*built.album.arguments, change, f"--store={store.location}")
    assert code == 0
    assert out.startswith("Published dataset@v2 in ")
    assert f"{PHOTOS} photos found, {PHOTOS} usable and distinct, 0 quarantined" in out
    assert "embeddings: " in err
    code, out, err = repic_main(*built.album.arguments, change, f"--store={store.location}")
    assert out.startswith("Nothing new: this is dataset@v2")
    assert err == ""


def test_copies_are_told_beside_what_was_refused(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    mine = built.album.copy(tmp_path / "album")
    for number, name in ((3, 0), (4, 0), (6, 5)):
        mine.file(number).write_bytes(mine.file(name).read_bytes())
    mine.file(7).write_bytes(b"")
    budget, store = "--set=quarantine.budget=1", f"--store={tmp_path / 'store'}"
    code, out, err = repic_main(*mine.arguments, budget, store)
    assert code == 0, err
    counts = f"{PHOTOS - 4} usable and distinct, 3 exact copies, 1 quarantined"
    assert f"{PHOTOS} photos found, {counts}" in out
    code, out, _ = repic_main(*mine.arguments, budget, store, "--json")
    assert json.loads(out)["copies"] == 3


def test_the_store_is_named_by_option_or_environment(
    built: Built, store: Store, repic_main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPIC_STORE", store.location)
    code, out, _ = repic_main("show", "dataset@latest", "--json")
    assert code == 0
    assert json.loads(out)["fingerprint"] == built.outcome.dataset.fingerprint
    code, _, err = repic_main("show", "dataset@latest", f"--store={tmp_path / 'other'}")
    assert code == 2
    assert "There is no store at" in err
    monkeypatch.delenv("REPIC_STORE")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").rename(tmp_path / "repic-store")
    code, out, _ = repic_main("show", "dataset@latest", "--json")
    assert code == 0


def test_identity_is_an_option(built: Built, store: Store, repic_main: Main) -> None:
    code, out, err = repic_main(
        *built.album.arguments, "--identity=none", "--json", f"--store={store.location}"
    )
    assert code == 0, err
    # `--set source.identity` in the arguments overrides the option.
    assert json.loads(out)["published"] is False
    arguments = [a for a in built.album.arguments if "source.identity" not in a]
    code, out, err = repic_main(
        *arguments, "--identity=none", "--json", f"--store={store.location}"
    )
    assert code == 0, err
    objects = store.read("objects@latest")
    assert set(objects["identity"].to_pylist()) == {None}
    assert set(store.read("groups@latest")["origin"].to_pylist()) == {"mined"}


def test_settings_are_listed(repic_main: Main) -> None:
    code, out, _ = repic_main("build", "--show-settings")
    assert code == 0
    for key in ("source.kind", "detector.confidence", "examples.ict.shares", "runtime.shard_rows"):
        assert key in out


def test_an_empty_split_is_said_only_if_it_cannot_be_filled(
    built: Built, store: Store, repic_main: Main
) -> None:
    shares = ("--set=splits.validation=0.001", "--set=splits.test=0.4")
    code, out, _ = repic_main(*built.album.arguments, *shares, f"--store={store.location}")
    assert code == 0
    photos = store.manifest("dataset@latest").notes["pairs"]["photos_by_split"]
    assert ("validation: no identity" in out) == ("validation" not in photos)
    assert "test:" not in out
    shares = ("--set=splits.validation=0", "--set=splits.test=0.4")
    code, out, _ = repic_main(*built.album.arguments, *shares, f"--store={store.location}")
    assert "no identity" not in out


@pytest.mark.slow
def test_ctrl_c_is_a_sentence(tmp_path: Path) -> None:
    """What typer makes of it says nothing."""
    where = f"--store={tmp_path / 'store'}"
    running = start(["build", "--profile", "sample", "--set=source.count=2000", where])
    deadline = time.monotonic() + 300
    while not (tmp_path / "store").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    assert err.endswith("Interrupted. Finished work is kept; run the same command again.\n")
    assert "Traceback" not in err
