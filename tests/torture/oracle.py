"""What must hold after a fault, and after the same command has run again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb

from repic.pipeline import catalog
from storage.errors import NotFoundError
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.torture.processes import Outcome, forked
from tests.torture.world import State, Work, World, run, state


def losses(
    world: World,
    work: Work,
    store: Path,
    outcome: Outcome,
    *,
    may_differ: bool = False,
) -> list[str]:
    """Everything that is wrong after a fault in `work`; the store is repaired by a repetition.

    Args:
        outcome: Of the process that the fault was put into.
        may_differ: The fault was in a photo, so a version without that photo may be the latest.
    """
    found = unexpected(outcome)
    wanted = [work.before, work.after]
    if outcome.kind == "done" and outcome.value[0] == 0:
        wanted = [work.after]
    outside = _outside(store)
    if not work.damaged:
        found += told(forked(lambda: _after_fault(store, [] if may_differ else wanted)))
    if not found:
        found += told(forked(lambda: _after_repetition(work, store)))
    if extra := _outside(store) | outside:
        found.append(f"written outside of the store: {sorted(extra)}")
    return found


def unexpected(outcome: Outcome) -> list[str]:
    """What a person should not see of a command: a traceback, or no end."""
    if outcome.kind == "done":
        code, said = outcome.value
        return [] if code in (0, 2) else [f"exit code {code}: {said.strip()[-300:]}"]
    if outcome.kind == "killed":
        return [] if outcome.error == "SIGKILL" else [outcome.error]
    return [f"{outcome.kind} {outcome.error} {outcome.trace[-600:]}"]


def told(outcome: Outcome) -> list[str]:
    """The losses that a check returned; that it failed is a loss too."""
    if outcome.kind == "done":
        return list(outcome.value)
    return [f"{outcome.kind} {outcome.error} {outcome.trace[-900:]}"]


def _after_fault(store: Path, wanted: Sequence[State]) -> list[str]:
    try:
        opened = Store.open(store)
    except NotFoundError:
        return [] if any(not before for before in wanted) or not wanted else ["the store is gone"]
    found = [f"verify: {problem}" for problem in verify(opened)]
    if opened.current().number:  # before its first commit, gc cannot tell what is needed
        gc(opened)
    if wanted and state(opened) not in wanted:
        found.append(f"a reader sees a mixture: {differences(state(opened), wanted)}")
    return found


def _after_repetition(work: Work, store: Path) -> list[str]:
    code, said = run(work.arguments, store)
    if code:
        return [f"the repeated command fails ({code}): {said.strip()[-400:]}"]
    return whole(store, work.after)


def whole(store: Path, expected: State) -> list[str]:
    """Whether a store has exactly this state and nothing else, also after gc."""
    opened = catalog.open_store(str(store))
    found = [f"verify: {problem}" for problem in verify(opened)]
    if state(opened) != expected:
        found.append(f"other content: {differences(state(opened), [expected])}")
    garbage = gc(opened, delete=True)
    if not garbage.deleted:
        found.append(f"gc is blocked: {', '.join(map(str, garbage.blocked_by))}")
    found += [f"verify after gc: {problem}" for problem in verify(opened)]
    if state(opened) != expected:
        found.append("other content after gc")
    found += [f"left behind: {path}" for f in ("tmp", "leases") for path in opened.files.find(f)]
    return found + catalogue(opened)


def catalogue(store: Store) -> list[str]:
    """Whether the catalogue answers for the latest versions."""
    found = []
    with duckdb.connect(store.files.full("catalog.duckdb"), read_only=True) as connection:
        for name, ref in store.current().refs.items():
            manifest = store.manifest(f"{name}@v{ref.latest}")
            if manifest.kind != "table":
                continue
            [(rows,)] = connection.execute(f'SELECT count(*) FROM main."{name}"').fetchall()
            if rows != manifest.rows:
                found.append(f"the catalogue has {rows} rows of {manifest.ref}")
    return found


def differences(seen: State, wanted: Sequence[State]) -> str:
    """Artifacts that no wanted state has like this."""
    return ", ".join(
        f"{name} is {'missing' if name not in seen else 'other'}"
        for one in wanted
        for name in sorted({*seen, *one})
        if seen.get(name) != one.get(name)
    )


def _outside(store: Path) -> set[str]:
    return {name for name in os.listdir(store.parent) if name != store.name}
