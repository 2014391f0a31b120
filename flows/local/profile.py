"""The profile that lets every shell of this user find the server of `repic up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

PROFILE = "repic"
PREFECTS_DEFAULT = "ephemeral"
"""The profile that Prefect is set to if nobody chose one."""


@contextmanager
def active(url: str) -> Iterator[None]:
    """Make `repic` the active profile, set to the server at `url`; afterwards, the one before.

    If somebody chose another profile in between, that choice stays.
    """
    before = _activate(url)
    try:
        yield
    finally:
        _restore(before)


def _activate(url: str) -> str:
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_PLUGINS_ENABLED,
        get_current_settings,
        load_profiles,
        save_profiles,
    )

    profiles = load_profiles()
    before = profiles.active_name
    profiles.update_profile(
        PROFILE,
        {PREFECT_API_URL: url, PREFECT_PLUGINS_ENABLED: "true"},
        source=get_current_settings().profiles_path,
    )
    profiles.set_active(PROFILE)
    save_profiles(profiles)
    # A `repic up` that was killed leaves its own profile behind.
    return PREFECTS_DEFAULT if before in (None, PROFILE) else before


def _restore(before: str) -> None:
    from prefect.settings import load_profiles, save_profiles

    profiles = load_profiles()
    if profiles.active_name == PROFILE:
        profiles.set_active(before, check=False)
        save_profiles(profiles)
