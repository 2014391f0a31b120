"""The Prefect profile by which every shell of this user finds the server of `repic up`.

Each `repic up` has a profile of its own, named after its port, which holds the address of its
server and the string that the server asks for. The last one to end restores the profile that was
active before the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.local.access import Access, is_free
from flows.local.files import locked, make_private

if TYPE_CHECKING:
    from prefect.settings import ProfilesCollection

PROFILE = "repic"
DEFAULT_PORT = 4200
DEFAULT_PROFILE = "ephemeral"
"""The active profile of a new Prefect installation."""


def name_of(port: int) -> str:
    """Name of the profile of the server at this port."""
    return PROFILE if port == DEFAULT_PORT else f"{PROFILE}-{port}"


def profiles_file() -> Path:
    """The profiles of this user."""
    from prefect.settings import get_current_settings

    return Path(get_current_settings().profiles_path)


@contextmanager
def active(access: Access) -> Iterator[str]:
    """Activate a profile for a server; its name. Restore the previous one afterwards.

    If another profile is active at the end, it stays: the user chose it, or it belongs to a later
    `repic up`.
    """
    name = name_of(access.port)
    with _edited() as profiles:
        if not _is_ours(profiles.active_name):
            _previous_file().write_text(profiles.active_name or DEFAULT_PROFILE, encoding="utf-8")
        profiles.update_profile(name, _settings(access), source=profiles_file())  # type: ignore[arg-type]
        profiles.set_active(name)
    try:
        yield name
    finally:
        with _edited() as profiles:
            _forget(profiles, name)


def _settings(access: Access) -> dict[str, str]:
    return {**access.client, "PREFECT_PLUGINS_ENABLED": "true"}


def _forget(profiles: ProfilesCollection, name: str) -> None:
    """Remove our settings from the profile, and with the last setting the profile."""
    if profiles.active_name == name:
        profiles.set_active(_successor(profiles, name), check=False)
    if name not in profiles:
        return
    kept = {
        setting: value
        for setting, value in profiles[name].settings.items()
        if setting.name not in _settings(Access(0))
    }
    source = profiles[name].source
    profiles.remove_profile(name)
    if kept:
        profiles.update_profile(name, kept, source=source)


def _successor(profiles: ProfilesCollection, name: str) -> str:
    """The profile of another `repic up` that still runs; else the one that was active before."""
    for other in profiles.names:
        if _is_ours(other) and other != name and not is_free(_port_of(other)):
            return other
    try:
        previous = _previous_file().read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return DEFAULT_PROFILE
    return previous if previous in profiles else DEFAULT_PROFILE


def _is_ours(name: str | None) -> bool:
    return name is not None and _port_of(name) > 0


def _port_of(name: str) -> int:
    """Port of one of our profiles; 0 for any other."""
    if name == PROFILE:
        return DEFAULT_PORT
    number = name.removeprefix(f"{PROFILE}-")
    return int(number) if number != name and number.isascii() and number.isdigit() else 0


@contextmanager
def _edited() -> Iterator[ProfilesCollection]:
    """The profiles of this user, saved afterwards, readable by their owner only."""
    from prefect.settings import load_profiles, save_profiles

    with locked(profiles_file().with_name("repic-profiles.lock")):
        make_private(profiles_file())
        profiles = load_profiles()
        yield profiles
        save_profiles(profiles)


def _previous_file() -> Path:
    """Holds the name of the profile that was active before the first `repic up`."""
    return profiles_file().with_name("repic-previous-profile")
