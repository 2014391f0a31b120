"""The Prefect profile by which every shell of this user finds the server of `repic up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

PROFILE = "repic"
DEFAULT_PROFILE = "ephemeral"
"""The active profile of a new Prefect installation."""


@contextmanager
def active(url: str) -> Iterator[None]:
    """Activate the profile `repic` for the server at `url`; restore the previous one afterwards.

    If the user activates another profile meanwhile, it stays active.
    """
    previous = _activate(url)
    try:
        yield
    finally:
        _restore(previous)


def _activate(url: str) -> str:
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_PLUGINS_ENABLED,
        get_current_settings,
        load_profiles,
        save_profiles,
    )

    profiles = load_profiles()
    previous = profiles.active_name
    profiles.update_profile(
        PROFILE,
        {PREFECT_API_URL: url, PREFECT_PLUGINS_ENABLED: "true"},
        source=get_current_settings().profiles_path,
    )
    profiles.set_active(PROFILE)
    save_profiles(profiles)
    # `repic` is still active if an earlier `repic up` was killed.
    return DEFAULT_PROFILE if previous in (None, PROFILE) else previous


def _restore(previous: str) -> None:
    from prefect.settings import load_profiles, save_profiles

    profiles = load_profiles()
    if profiles.active_name == PROFILE:
        profiles.set_active(previous, check=False)
        save_profiles(profiles)
