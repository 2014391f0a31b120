"""Home: counts, what waits, what to do next."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from repic.pipeline import failures
from storage.manifest import Run
from storage.store import Store
from tests.builds import Built, build
from tests.studio.conftest import client
from tests.studio.test_pairs import decide, ends, shown


def test_home_says_what_waits_and_what_is_next(
    browser: TestClient, store: Store, built: Built
) -> None:
    pairs = store.read("pairs@latest").to_pylist()
    doubtful = len({frozenset(ends(row)) for row in pairs if row["doubtful"]})
    text = browser.get("/").text
    assert f"<b>{len(pairs)}</b> pairs" in text
    assert f"{doubtful:,} doubtful pairs wait for a decision" in text
    assert "repic train" in text
    decide(browser, shown(browser, "/pairs?doubtful=yes")[0], "accept")
    text = browser.get("/").text
    assert f"{doubtful - 1:,} doubtful pairs wait for a decision" in text
    assert "1 decision is not in this version" in text
    build(built.album.settings(), store)
    text = browser.get("/").text
    assert "is not in this version" not in text
    assert "dataset<span" in text
    assert "@v2" in text


def test_a_new_store_is_told_how_to_begin(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a store", create=True)
    text = html.unescape(client(store).get("/").text)
    assert f"repic build --images FOLDER --store '{tmp_path}/a store'" in text


def test_a_training_that_failed_is_no_build(browser: TestClient, store: Store) -> None:
    with pytest.raises(RuntimeError), failures.recorded(store, Run.here(), "train"):
        raise RuntimeError
    assert "The last training failed" in browser.get("/").text


def test_what_is_lacking_is_said(browser: TestClient, hostile: Store) -> None:
    text = client(hostile).get("/").text
    assert "No identity was mined" in text
    assert "1 input refused by images" in text


def test_who_writes_is_no_build_for_certain(browser: TestClient, store: Store) -> None:
    assert "Running now" not in browser.get("/").text
    with store.lease():
        text = browser.get("/").text
    assert "<li>a build, training or evaluation: process " in text
