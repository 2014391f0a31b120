"""From the wheel and the site alone to a reviewed data set, a trained model and a schedule.

The commands of the tutorial and of the pages about review and nights run as they stand, in their
order and in one folder that holds nothing but photos.
"""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from flows.local import profile
from flows.local.access import Access
from storage.store import Store
from tests.flows.up import client_of, new_user
from tests.flows.webhook import webhook
from tests.installed import PATIENCE, Installed, installed, sections
from tests.reader import Reader, annotate, decide, withdraw_one, write_photos

__all__ = ["installed"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

TUTORIAL = sections("tutorial.md")
NIGHTLY = sections("nightly.md")
EVERY_MINUTE = '--cron "* * * * *"'

Upto = Callable[[str], dict[str, str]]
"""Reads the tutorial to the end of a section; what the commands of that section printed."""


@pytest.fixture(scope="module")
def reader(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("reader") / "work"
    folder.mkdir()
    write_photos(folder)
    home = folder.parent / "home"
    home.mkdir()
    env = installed.variables(new_user(folder.parent / "user")) | {"HOME": str(home)}
    return Reader(installed, folder, env, by_hand={"repic reviews export doubtful": decide})


@pytest.fixture(scope="module")
def upto(reader: Reader) -> Upto:
    todo, printed = [name for name in TUTORIAL if TUTORIAL[name]][1:], dict[str, dict[str, str]]()

    def read(section: str) -> dict[str, str]:
        while section not in printed:
            name = todo.pop(0)
            printed[name] = at_night(reader) if name == "8. Every night" else {}
            printed[name] = printed[name] or reader.read(TUTORIAL[name])
        return printed[section]

    return read


@pytest.fixture
def store(reader: Reader) -> Store:
    return Store.open(reader.folder / "repic-store", create=True)


def test_the_tutorial_has_these_sections() -> None:
    assert [name for name, commands in TUTORIAL.items() if commands] == [
        *("1. Install", "2. Build", "3. Look", "4. Review", "5. Build again"),
        *("6. Train", "7. Evaluate", "8. Every night"),
    ]
    assert sum(map(len, TUTORIAL.values())) > 20


def test_what_is_installed_is_the_wheel(reader: Reader) -> None:
    place = reader.run("python -c 'import repic, flows; print(repic.__file__, flows.__file__)'")
    assert all(word.startswith(str(reader.installed.packages)) for word in place.split())


def test_photos_become_a_data_set(upto: Upto, store: Store) -> None:
    printed = upto("2. Build")
    assert "Published" in printed["repic build --images photos"]
    assert store.versions("dataset") == [1]


def test_it_is_looked_at(upto: Upto, reader: Reader) -> None:
    assert any("oct" in text for text in upto("3. Look").values())
    assert (reader.folder / "report.html").stat().st_size > 10_000


def test_doubtful_pairs_are_reviewed(upto: Upto, store: Store) -> None:
    upto("4. Review")
    decisions = store.read("reviews@latest").to_pylist()
    assert decisions, "the photo in the wrong folder was not doubted"
    assert {row["reviewer"] for row in decisions} == {"ann"}


def test_the_next_version_has_the_decisions(upto: Upto, store: Store) -> None:
    assert "Published" in upto("5. Build again")["repic build --images photos"]
    assert store.versions("dataset") == [1, 2]


def test_a_sample_model_is_trained(upto: Upto, reader: Reader) -> None:
    upto("6. Train")
    assert Store.open(reader.folder / "sample-store").versions("checkpoint") == [1]
    assert (reader.folder / "training.html").stat().st_size > 10_000


def test_it_is_compared_with_the_model_before(upto: Upto, reader: Reader) -> None:
    upto("7. Evaluate")
    assert Store.open(reader.folder / "sample-store").versions("evaluation") == [1, 2]


def at_night(reader: Reader) -> dict[str, str]:
    """The last section, and a build that the schedule starts, of one more photo."""
    commands = TUTORIAL["8. Every night"]
    first, build, *schedule = commands
    with reader.serving(first) as port:
        printed = reader.read([build])
        thing = min((reader.folder / "photos").iterdir())
        shutil.move(reader.folder / "later.jpg", thing)
        reader.more["repic schedule build-datasets"] = EVERY_MINUTE
        printed |= reader.read(schedule)
        del reader.more["repic schedule build-datasets"]
        wait_for(partial(has_built_by_itself, reader, port))
        reader.run("repic schedule build-datasets --off")
    return printed


def access_of(reader: Reader, port: int) -> Access:
    """What the server at a port asks for, as the profile of its user says."""
    profiles = tomllib.loads((Path(reader.env["PREFECT_HOME"]) / "profiles.toml").read_text())
    return Access(port, profiles["profiles"][profile.name_of(port)]["PREFECT_API_AUTH_STRING"])


def has_built_by_itself(reader: Reader, port: int) -> bool:
    """Whether a run that nobody started has ended; it must have ended well."""
    with client_of(access_of(reader, port)) as client:
        runs = [run for run in client.read_flow_runs() if run.auto_scheduled and run.state]
    ended = [run for run in runs if run.state and run.state.is_final()]
    assert all(run.state and run.state.is_completed() for run in ended), ended
    assert all(run.parameters["images"] == "photos" for run in runs), runs
    return bool(ended)


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_new_photo_is_built_by_the_schedule(upto: Upto, store: Store) -> None:
    printed = upto("8. Every night")
    assert "* * * * *" in printed["repic schedule"]
    assert "images=photos" in printed["repic schedule"]
    assert store.versions("dataset") == [1, 2, 3]
    assert store.manifest("dataset@latest").run.flow_run


def test_the_page_about_review(upto: Upto, reader: Reader, store: Store) -> None:
    upto("5. Build again")
    reader.by_hand["repic reviews export doubtful"] = withdraw_one
    reader.by_hand["repic reviews export tasks"] = annotate
    for commands in sections("review.md").values():
        reader.read(commands)
    said = {(row["reviewer"], row["decision"]) for row in store.read("reviews@latest").to_pylist()}
    assert ("ben@example.org", "accept") in said
    assert ("ann", "") not in said


def test_the_page_about_nights(upto: Upto, reader: Reader, store: Store) -> None:
    upto("8. Every night")
    commands = [c for heading, part in NIGHTLY.items() if heading != "Logs" for c in part]
    assert len(commands) > 6
    with webhook() as (url, _):
        reader.instead = {
            "/data/repic": "repic-store",
            "/data/photos": "photos",
            "https://hooks.slack.com/services/...": url,
        }
        printed = reader.read(commands)
    [listed] = [text for command, text in printed.items() if command.startswith("repic schedule  ")]
    assert "Europe/Berlin" in listed
    lines = printed["repic automations list"].splitlines()
    states = [words[-1] for line in lines if (words := line.split())]
    assert states.count("on") == 3
    reader.read(NIGHTLY["Logs"])
    for line in (reader.folder / "server.txt").read_text().splitlines():
        if line.startswith("{"):
            assert {"time", "level", "message"} <= json.loads(line).keys()
