"""Profiles: YAML files of settings, shipped in `repic/config/profiles/` or the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from repic.config import source_lists
from repic.config.section import nearest
from repic.errors import ConfigError


def profiles() -> list[str]:
    """Names of the profiles that ship with the package."""
    folder = resources.files("repic.config") / "profiles"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


def layered(profile: str, values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Nested settings: a profile, `values` on top of it, then the overrides.

    Args:
        profile: Name of a shipped profile, or path of a YAML file.
        values: Nested values. None means "not given" and keeps the value of the profile.
        overrides: `section.key=value` each; the value is read as YAML.

    Raises:
        ConfigError: unknown profile, or invalid YAML.
    """
    data: dict[str, Any] = {}
    for layer in (_read(profile), _given(values), *map(_parse, overrides)):
        _merge(data, source_lists.merge(data, layer))
    return data


def section_of(override: str) -> str:
    """Section that an override `section.key=value` changes."""
    return override.partition("=")[0].strip().partition(".")[0]


def _read(profile: str) -> dict[str, Any]:
    import yaml

    path = Path(profile)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ConfigError(f"there is no profile file {profile}")
        text = path.read_bytes()
    elif profile in profiles():
        shipped = resources.files("repic.config") / "profiles" / f"{profile}.yaml"
        text = shipped.read_bytes()
    else:
        raise ConfigError(f"there is no profile {profile!r}{nearest(profile, profiles())}")
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{profile} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{profile} must hold sections of settings, not a {type(data).__name__}")
    return data


def _parse(override: str) -> dict[str, Any]:
    import yaml

    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set needs section.key=value, got {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}: {text!r} is not a YAML value") from error
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without those that are None."""
    return {
        key: _given(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
