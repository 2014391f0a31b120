"""A store of somebody else cannot have Prefect run commands."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flows.local.access import Access
from flows.local.home import PARENT, prefect_home, prepare
from flows.local.processes import ChildProcess
from flows.local.server import environment
from repic.errors import PrefectServerError
from tests.flows.up import new_user, running_up

LOGGING = """
version: 1
disable_existing_loggers: false
handlers:
  x: {(): subprocess.getoutput, cmd: "touch %s"}
loggers:
  evil: {handlers: [x]}
"""
PATH = "PREFECT_LOGGING_SETTINGS_PATH"


def set_traps(folder: Path, marker: Path) -> Path:
    """Every file of settings from which Prefect runs a command; the last of them."""
    folder.mkdir(parents=True, exist_ok=True)
    logging = folder / "logging.yml"
    logging.write_text(LOGGING % marker)
    profile = f'active = "x"\n[profiles.x]\n{PATH} = "{logging}"\n'
    (folder / "profiles.toml").write_text(profile)
    (folder / ".env").write_text(f"{PATH}={logging}\n")
    (folder / "prefect.toml").write_text(f'[logging]\nconfig_path = "{logging}"\n')
    (folder / "pyproject.toml").write_text(f'[tool.prefect.logging]\nconfig_path = "{logging}"\n')
    return logging


def set_package_trap(folder: Path, marker: Path) -> None:
    """A package of the name of ours, found first by `python -m` in this folder."""
    package = folder / "flows" / "local"
    package.mkdir(parents=True)
    for module in (package.parent / "__init__.py", package / "__init__.py"):
        module.write_text("")
    (package / "parent_death.py").write_text(f"open({str(marker)!r}, 'w')")


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PARENT, str(tmp_path / "homes"))
    return tmp_path / "homes"


def test_prefect_keeps_its_files_outside_of_the_store(
    tmp_path: Path, homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    store = str(tmp_path / "data" / "store")
    folder = prepare(store)
    assert folder.parent == homes
    assert folder.name.startswith("store-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {prefect_home(same) for same in ("data/store", "linked/store", store + "/")} == {folder}
    urls = [prefect_home(url) for url in ("s3://bucket/store", "s3://bucket/store/", "s3://b/..")]
    assert urls[0] == urls[1] != folder
    assert {url.parent for url in urls} == {homes}
    assert not (tmp_path / "data").exists()


def test_without_a_choice_they_are_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PARENT, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert prefect_home("store").parent == tmp_path / "data" / "repic" / "prefect"


def test_a_folder_of_an_earlier_version_is_named_once(
    tmp_path: Path, homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store" / ".prefect").mkdir(parents=True)
    folder = prepare(str(tmp_path / "store"))
    said = capsys.readouterr().err
    assert f"{tmp_path / 'store' / '.prefect'} is not used any more" in said
    assert f"move its files to {folder}." in said
    assert prepare(str(tmp_path / "store")) == folder
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_not_of_this_user_is_refused(
    tmp_path: Path, homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes.mkdir()
    (tmp_path / "theirs").mkdir()
    prefect_home("store").symlink_to(tmp_path / "theirs")
    with pytest.raises(PrefectServerError, match=f"not a folder of this user.*{PARENT}"):
        prepare("store")
    prefect_home("other").write_text("a file")
    with pytest.raises(PrefectServerError, match="File exists"):
        prepare("other")
    owner = prepare("third").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PrefectServerError, match="not a folder of this user"):
        prepare("third")


def test_a_child_imports_nothing_from_the_folder_it_works_in(tmp_path: Path) -> None:
    set_package_trap(tmp_path, marker := tmp_path / "ran")
    command = [sys.executable, "-c", "import os; print(os.getcwd(), 'reached')"]
    child = ChildProcess("x", command, environment(tmp_path, Access(1)), tmp_path / "x.log")
    child.wait(240)
    assert "reached" in child.log_tail()
    assert not marker.exists()


IN_PROCESS = f"""
import os, sys
from flows.local import home, server
from flows.local.access import Access
server.use_home(home.prepare("."))
from prefect.logging.configuration import setup_logging
setup_logging()
with Access(1).active():
    setup_logging()
assert not os.path.exists("ran"), "a file of the store was run"
del os.environ["{PATH}"]
from prefect.settings import Settings
print(Settings().logging.config_path)
"""


def test_no_settings_of_a_store_are_read_even_in_its_folder(tmp_path: Path) -> None:
    store = tmp_path / "store"
    set_traps(store / ".prefect", store / "ran")
    bait = set_traps(store, store / "ran")
    user = new_user(tmp_path / "user")
    del user["PREFECT_HOME"]
    user["HOME"] = str(tmp_path)
    command = [sys.executable, "-P", "-c", IN_PROCESS]
    done = subprocess.run(command, cwd=store, env=user, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is not used any more" in done.stderr
    assert done.stdout.strip() == str(bait), "Prefect itself would read the trap"


@pytest.mark.slow
def test_repic_up_runs_nothing_of_a_store(tmp_path: Path, database: Path) -> None:
    store, marker = tmp_path / "root" / "store", tmp_path / "ran"
    set_traps(store / ".prefect", marker)
    set_package_trap(store / ".prefect", marker)
    set_traps(tmp_path / "root", marker)
    with running_up(tmp_path, database) as up:
        assert "In any other shell" in up.printed
        assert not list((store / ".prefect").glob("*.log"))
    assert not marker.exists()
