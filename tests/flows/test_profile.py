from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from flows.local import profile

URL = "http://127.0.0.1:4567/api"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "profiles.toml"
    with temporary_settings({PREFECT_PROFILES_PATH: path}):
        yield path


def test_the_profile_is_active_as_long_as_the_server_runs(file: Path) -> None:
    with profile.active(URL):
        profiles = tomllib.loads(file.read_text())
        assert profiles["active"] == "repic"
        assert profiles["profiles"]["repic"] == {
            "PREFECT_API_URL": URL,
            "PREFECT_PLUGINS_ENABLED": "true",
        }
    assert tomllib.loads(file.read_text())["active"] == "ephemeral"


MINE = """active = "work"
[profiles.work]
PREFECT_API_URL = "http://prefect.example/api"
[profiles.repic]
PREFECT_LOGGING_LEVEL = "DEBUG"
"""


def test_what_the_user_had_stays(file: Path) -> None:
    file.write_text(MINE)
    with pytest.raises(KeyboardInterrupt), profile.active(URL):
        raise KeyboardInterrupt
    profiles = tomllib.loads(file.read_text())
    assert profiles["active"] == "work"
    assert profiles["profiles"]["work"] == {"PREFECT_API_URL": "http://prefect.example/api"}
    assert profiles["profiles"]["repic"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_a_choice_made_in_between_stays(file: Path) -> None:
    file.write_text(MINE)
    with profile.active(URL):
        file.write_text(file.read_text().replace('active = "repic"', 'active = "local"'))
    assert tomllib.loads(file.read_text())["active"] == "local"


def test_the_rest_of_a_killed_one_is_not_restored(file: Path) -> None:
    file.write_text(MINE.replace('active = "work"', 'active = "repic"'))
    with profile.active(URL):
        pass
    assert tomllib.loads(file.read_text())["active"] == "ephemeral"
