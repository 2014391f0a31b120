"""The catalog with the views of pairs and sources."""

from __future__ import annotations

import pytest

from repic.pipeline import catalog
from storage.store import Store
from tests.storage.stores import build


def test_a_query_reads_each_version_that_it_names(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.catalog.RECENT", 1)
    store = Store.open(tmp_path / "store", create=True)
    for number in (1, 2, 3):
        build(store, number, photos=10 + number)
    query = 'SELECT (SELECT count(*) FROM v1.images), (SELECT count(*) FROM "v2".images)'
    for unsafe in (False, True):
        with catalog.connect(store, query, unsafe=unsafe) as connection:
            asked = connection.execute(query) if unsafe else catalog.ask(store, connection, query)
            assert asked.fetchall() == [(11, 12)]
