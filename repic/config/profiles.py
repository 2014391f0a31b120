"""Profiles: YAML files in `repic/config/profiles/` or a person's own, with `--set a.b=c` on top."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from repic.errors import ConfigError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    folder = resources.files("repic.config") / "profiles"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


def layered(
    profile: str,
    overrides: Iterable[str],
    values: Mapping[str, Any],
    *,
    only: tuple[str, ...] | None = None,
    without: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A profile (a name, or the path of a YAML file), values on top of it, then the overrides.

    Args:
        overrides: `section.key=value` each; the value is read as YAML.
        only: Sections of the profile that are read; by default all.
        without: Sections of the profile that are left out.

    Raises:
        ConfigError: unknown profile, or something that is not YAML.
    """
    import yaml

    data = {
        section: content
        for section, content in _read(profile).items()
        if section not in without and (only is None or section in only)
    }
    _merge(data, values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set wants section.key=value, got {override!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{key}: {text!r} is not a YAML value") from error
        _merge(data, _nested(key.strip().split("."), value))
    return data


def validated(model: type[M], data: Mapping[str, Any], listed: str) -> M:
    """A model of settings from nested values.

    Args:
        listed: A sentence that says where all settings are listed.

    Raises:
        ConfigError: unknown key (the nearest is named) or impossible value.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        said = "; ".join(_explain(e, model, listed) for e in error.errors())
        raise ConfigError(said) from None


def described(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting of a model as (key, default, help)."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from described(kind, f"{prefix}{name}.")
        else:
            default = "" if field.is_required() else str(field.default)
            yield f"{prefix}{name}", default, field.description or ""


def nearest(wrong: str, right: list[str], listed: str = "") -> str:
    """The end of an error about an unknown name: what may be meant, or what there is."""
    last = wrong.rpartition(".")[2]
    close = difflib.get_close_matches(wrong, right, 1, 0.6) or [
        key
        for key in right
        if difflib.SequenceMatcher(None, key.rpartition(".")[2], last).ratio() > 0.7
    ]
    if close:
        return f"; did you mean {close[0]}?"
    if len(right) < 12:
        return f"; one of: {', '.join(right)}"
    return f"; {listed}" if listed else ""


def _read(profile: str) -> dict[str, Any]:
    import yaml

    path = Path(profile)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ConfigError(f"there is no profile file {profile}")
        text = path.read_text(encoding="utf-8")
    elif profile in profiles():
        text = (resources.files("repic.config") / "profiles" / f"{profile}.yaml").read_text(
            encoding="utf-8"
        )
    else:
        raise ConfigError(f"there is no profile {profile!r}{nearest(profile, profiles())}")
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{profile} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{profile} must hold sections of settings, not a {type(data).__name__}")
    return data


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _explain(error: Any, model: type[BaseModel], listed: str) -> str:
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        where = ".".join(path)
        return f"unknown setting {where}{nearest(where, _all_keys(model), listed)}"
    where, value = ".".join(path), error["input"]
    if isinstance(value, str | int | float):
        where += f"={value}"
    return f"{where}: {error['msg']}" if where else error["msg"]


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, f"{prefix}{name}.")
    return keys
