"""A disk that fails at any write of a publish: one named error, a clean store, and a retry."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import files
from storage.errors import StoreError
from storage.integrity import verify
from storage.store import Store
from tests.storage.stores import build

CALLS: list[tuple[Any, str]] = [
    (files, "sync"),
    (files, "sync_folder"),
    (files, "make_folder"),
    (files, "_copy"),
    (os, "link"),
    (os, "replace"),
]
"""Calls that change the disk; each fails in turn."""


class Disk:
    """Fails at the call of this number, and counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.fails_at, self.errno = 0, 0, errno.ENOSPC
        for owner, name in CALLS:
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name)))

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.fails_at:
                raise OSError(self.errno, os.strerror(self.errno))
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ENOSPC", "No space"),
        ("EDQUOT", "No space"),
        ("EACCES", "No permission"),
        ("EROFS", "the disk is read-only"),
    ],
)
def test_a_failed_write_is_named_and_leaves_the_store_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    build(store, 1)
    disk = Disk(monkeypatch)
    disk.errno = getattr(errno, code)
    for at in itertools.count(1):
        disk.calls, disk.fails_at = 0, at
        try:
            build(store, 2)
            break
        except StoreError as error:
            message = str(error)
        assert str(tmp_path) in message
        assert reason in message
        disk.fails_at = 0
        assert store.files.find("tmp") == {}
        # If only the last fsync failed, the new version is complete and may be visible already.
        assert store.resolve("dataset@latest").version in (1, 2)
        assert verify(Store.open(store.location)) == []
    assert at > 10, "every call failed once"
    disk.fails_at = 0
    assert store.resolve("dataset@latest").version == 2
    assert store.versions("dataset") == [1, 2]
