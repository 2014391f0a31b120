from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from flows.local import access, profile
from flows.local.access import Access
from tests.ports import free_port

MINE = """active = "work"
[profiles.work]
PREFECT_API_URL = "http://prefect.example/api"
[profiles.repic]
PREFECT_LOGGING_LEVEL = "DEBUG"
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "profiles.toml"
    with temporary_settings({PREFECT_PROFILES_PATH: path}):
        yield path


def active_in(file: Path) -> str:
    return str(tomllib.loads(file.read_text())["active"])


def test_the_profile_is_active_as_long_as_the_server_runs(file: Path) -> None:
    here = Access(4200)
    with profile.active(here) as name:
        profiles = tomllib.loads(file.read_text())
        assert profiles["active"] == name == "repic"
        assert profiles["profiles"]["repic"] == {
            "PREFECT_API_URL": "http://127.0.0.1:4200/api",
            "PREFECT_API_AUTH_STRING": here.auth,
            "PREFECT_PLUGINS_ENABLED": "true",
        }
    assert active_in(file) == "ephemeral"
    assert here.auth not in file.read_text()


def test_what_the_user_had_stays(file: Path) -> None:
    file.write_text(MINE)
    with pytest.raises(KeyboardInterrupt), profile.active(Access(4200)):
        raise KeyboardInterrupt
    assert tomllib.loads(file.read_text()) == tomllib.loads(MINE)


def test_only_the_owner_can_read_the_string(file: Path) -> None:
    file.write_text(MINE)
    file.chmod(0o644)
    with profile.active(Access(4200)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_start_has_another_string_which_is_never_printed() -> None:
    first, second = Access(4200), Access(4200)
    assert first.auth != second.auth
    assert len(first.auth) > 40
    assert first.auth not in repr(first)


def test_a_choice_made_in_between_stays(file: Path) -> None:
    file.write_text(MINE)
    with profile.active(Access(4200)):
        file.write_text(file.read_text().replace('active = "repic"', 'active = "work"'))
    assert active_in(file) == "work"


def test_what_was_active_before_a_killed_one_is_restored(file: Path) -> None:
    file.write_text(MINE)
    with profile.active(Access(free_port())) as name:
        left_by_the_killed = file.read_text()
    file.write_text(left_by_the_killed)
    assert active_in(file) == name
    with profile.active(Access(free_port())):
        pass
    assert active_in(file) == "work"


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_the_last_of_two_restores_the_profile(file: Path, first_ends_first: bool) -> None:
    file.write_text(MINE)
    ports = [free_port(), free_port()]
    listening = [access.listen(port) for port in ports]
    both = [profile.active(Access(port)) for port in ports]
    names = [one.__enter__() for one in both]
    assert active_in(file) == names[1]
    earlier, later = (0, 1) if first_ends_first else (1, 0)
    both[earlier].__exit__(None, None, None)
    listening[earlier].close()
    assert active_in(file) == names[later]
    both[later].__exit__(None, None, None)
    listening[later].close()
    assert active_in(file) == "work"
    assert tomllib.loads(file.read_text()) == tomllib.loads(MINE)
