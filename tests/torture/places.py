"""Other clocks, time zones and locales, and awkward names of folders and photos."""

from __future__ import annotations

import datetime as standard
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

from repic.pipeline import catalog
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.builds import Album, repic
from tests.torture.oracle import losses, told, unexpected, whole
from tests.torture.processes import Outcome, forked
from tests.torture.record import Effort, Record
from tests.torture.world import World, run

DAYS = (-4000, -400, -1, -0.1, 0.1, 1, 400, 4000)
"""Days that a clock is wrong by."""

ZONES = ("Pacific/Apia", "Pacific/Pago_Pago", "Asia/Kathmandu", "America/St_Johns", "no/such zone")

NAMES = (
    *("with space", "it's", 'say "yes"', "a;b", "semi'); DROP TABLE x; --", "näme", "名前", "%20"),
    *(
        "[glob]*?",
        "#hash?query",
        "-dash",
        "$HOME",
        "back\\slash",
        "double::colon",
        "new\nline",
        "tab\t",
        "{brace}",
    ),
    *(os.fsdecode(b"not utf-8 \xff\xfe"), "x" * 200),
)
"""Names of folders that people and programs make."""


def clocks(world: World, effort: Effort, record: Record) -> None:
    """Builds and gc by processes with wrong clocks, while another process holds the store."""
    work = world.works["build"]
    for days in DAYS[:: effort.times(3, 1, 1)]:
        store = world.trial(work.store)
        outcome = forked(partial(_late, days, work.arguments, store))
        record.count(f"a build {days} days off", losses(world, work, store, outcome))
        world.discard(store)
        store = world.trial("two")
        found = told(forked(partial(_beside_collector, days, store)))
        record.count(f"gc {days} days off beside a build", found)
        world.discard(store)


def time_zones(world: World, effort: Effort, record: Record) -> None:
    """The same build in other time zones has the same content."""
    work = world.works["build"]
    for zone in ZONES[:: effort.times(3, 1, 1)]:
        store = world.trial(work.store)

        def there(zone: str = zone, store: Path = store) -> tuple[int, str]:
            os.environ["TZ"] = zone
            time.tzset()
            return run(work.arguments, store)

        record.count(zone, losses(world, work, store, forked(there)))
        world.discard(store)


def locales(world: World, effort: Effort, record: Record) -> None:
    """The same build by a program that starts in a C locale without UTF-8 has the same content."""
    work = world.works["build"]
    strict = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for environment in ({"LC_ALL": "POSIX"}, strict)[effort.times(1, 0, 0) :]:
        store = world.trial(work.store)
        done = repic(*work.arguments, f"--store={store}", env=environment)
        outcome = Outcome("done", (done.returncode, done.stderr))
        record.count(str(environment), losses(world, work, store, outcome))
        world.discard(store)


def names(world: World, effort: Effort, record: Record) -> None:
    """Stores and photo folders with awkward names: the same content, or one sentence."""
    work = world.works["first build"]
    for name in NAMES[:: effort.times(6, 1, 1)]:
        store = world.trial("").parent / name / "store"
        store.parent.mkdir(parents=True)
        outcome = forked(partial(run, work.arguments, store))
        found = unexpected(outcome)
        if outcome.value and outcome.value[0] == 0:
            found += told(forked(partial(whole, store, work.after)))
            asked = forked(partial(run, ("sql", "SELECT count(*) FROM examples"), store))
            found += unexpected(asked)
        record.count(f"store in {name!r}", found)
        shutil.rmtree(store.parent.parent)
        record.count(f"photos in {name!r}", _photos_in(world, name))


def _photos_in(world: World, name: str) -> list[str]:
    """Build an album below a folder of this name, with a photo of this name."""
    place = world.trial("").parent
    album: Album = world.album.copy(place / name)
    first = album.file(0)
    renamed = first.with_name(f"{name[:100]}{first.suffix}")
    shutil.copy(first, renamed)
    first.unlink()
    entries = ({**album.entries[0], "file": renamed.name}, *album.entries[1:])
    with mock.patch.object(json, "dumps", _dumps):
        album = replace(album, entries=entries).written()
    store = place / "store"
    folder = ("build", f"--images={place / name / 'photos'}", *album.arguments[-4:])
    found = []
    for arguments in (world.build(album), folder):
        outcome = forked(partial(run, arguments, store))
        found += unexpected(outcome)
        if outcome.value and outcome.value[0] == 0:
            found += told(forked(lambda: [str(p) for p in verify(Store.open(store))]))
    shutil.rmtree(place)
    return found


_real_dumps = json.dumps


def _dumps(value: object) -> str:
    """JSON whose text can be written although a name is not UTF-8."""
    return _real_dumps(value, ensure_ascii=True)


def _late(days: float, arguments: tuple[str, ...], store: Path) -> tuple[int, str]:
    with wrong_clock(days):
        return run(arguments, store)


def _beside_collector(days: float, store: Path) -> list[str]:
    """A part that no version names yet must survive a collector with another clock."""
    opened = catalog.open_store(str(store))
    with opened.lease():
        kept = opened.files.put("parts/probes/held", ".parquet", [b"x"], lambda written: None)
        outcome = forked(lambda: _collect(days, store))
        found = told(outcome)
        if kept.path not in opened.files.find("parts"):
            found.append("gc deleted files of a live build")
    return found


def _collect(days: float, store: Path) -> list[str]:
    with wrong_clock(days):
        gc(catalog.open_store(str(store)), delete=True)
    return []


@contextmanager
def wrong_clock(days: float) -> Iterator[None]:
    """Shift what this process takes for the present."""
    offset = standard.timedelta(days=days)
    real_time, real = time.time, standard.datetime

    class Shifted(real):
        @classmethod
        def now(cls, tz: standard.tzinfo | None = None) -> standard.datetime:
            return real.now(tz) + offset

    changed = [
        vars(module)
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("storage", "repic") and vars(module).get("datetime") is real
    ]
    for names in changed:
        names["datetime"] = Shifted
    time.time = lambda: real_time() + offset.total_seconds()
    try:
        yield
    finally:
        time.time = real_time
        for names in changed:
            names["datetime"] = real
