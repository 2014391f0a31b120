"""Location and hashes of weights files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from repic.config import cache_folder
from repic.errors import WeightsError
from repic.models import weights


def test_the_cache_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPIC_CACHE", raising=False)
    assert cache_folder().name == "repic"
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_a_path_comes_before_a_name_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"cache.*weights.*Ask Ann\."):
        weights.find("a.pt", "detector.checkpoint", "Ask Ann.")
    cached, local = tmp_path / "cache" / "weights" / "a.pt", tmp_path / "a.pt"
    cached.parent.mkdir(parents=True)
    for path in (cached, local):
        path.touch()
        assert weights.find("a.pt", "detector.checkpoint", "") == path


def test_a_hash_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    for content in (b"one", b"three", b""):
        file.write_bytes(content)
        assert weights.sha256(file) == hashlib.sha256(content).hexdigest()
        assert weights.sha256_of_folder(tmp_path) == {"a.pt": weights.sha256(file)}


def test_a_folder_must_hold_something(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "empty"), (tmp_path / "none", "no model folder")):
        with pytest.raises(WeightsError, match=message):
            weights.sha256_of_folder(folder)
