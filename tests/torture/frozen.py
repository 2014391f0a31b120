"""The frozen store of the first format, and stores of a newer format."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path

from storage.integrity import verify
from storage.store import Store
from tests.torture.oracle import told, unexpected
from tests.torture.processes import forked
from tests.torture.record import Effort, Record
from tests.torture.world import World, run

FIXTURES = Path(__file__).parents[1] / "fixtures"
COMMAND = re.compile(r"pip install|uv |upgrade", re.IGNORECASE)
"""What a person runs to read a newer format."""


def first_format(world: World, effort: Effort, record: Record) -> None:
    """It is read, verified and extended, and its versions stay what they were."""
    del effort
    expected = json.loads((FIXTURES / "store-v1.json").read_text())
    store = world.trial("").parent / "store"
    shutil.copytree(FIXTURES / "store-v1", store)
    record.count("read", told(forked(lambda: _kept(store, expected))))
    outcome = forked(lambda: run(world.build(), store))
    record.count("extended", unexpected(outcome) or told(forked(lambda: _extended(store))))
    record.count("read after that", told(forked(lambda: _kept(store, expected))))
    outcome = forked(lambda: run(("gc", "--apply"), store))
    record.count("gc", unexpected(outcome) or told(forked(lambda: _kept(store, expected))))
    world.discard(store)


def newer_formats(world: World, effort: Effort, record: Record) -> None:
    """A marker, manifest or refs of a newer format: one sentence with the command to run."""
    del effort
    files = ("store.json", "manifests/images/v000001.json", "refs/000001.json")
    for path in files:
        for command in (world.build(), ("show", "images@v1"), ("gc", "--apply")):
            store = world.trial("one")
            data = json.loads((store / path).read_text())
            (store / path).write_text(json.dumps({**data, "format_version": 99}))
            before = sorted(p for p in store.rglob("*") if "tmp" not in p.parts)
            outcome = forked(partial(run, command, store))
            found = unexpected(outcome)
            if not found:
                found = _refused(*outcome.value)
            gone = [str(p) for p in before if not p.exists()]
            found += [f"removed {gone}"] if gone else []
            record.count(f"{path}, {command[0]}", found)
            world.discard(store)


def _refused(code: int, said: str) -> list[str]:
    if code != 2:
        return [f"exit code {code} instead of 2"]
    return [] if COMMAND.search(said) else [f"no command is named: {said[-300:]}"]


def _kept(store: Path, expected: dict[str, dict[str, object]]) -> list[str]:
    opened = Store.open(store)
    found = [f"verify: {problem}" for problem in verify(opened)]
    for ref, held in expected.items():
        manifest = opened.manifest(ref)
        if (manifest.rows, manifest.content) != (held["rows"], held["content"]):
            found.append(f"{ref} has changed")
        if manifest.kind == "table" and opened.read(ref).num_rows != held["rows"]:
            found.append(f"{ref} reads as other rows")
    return found


def _extended(store: Path) -> list[str]:
    versions = Store.open(store).versions("dataset")
    return [] if versions == [1, 2, 3] else [f"the versions of dataset are {versions}"]
