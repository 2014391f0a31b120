"""Base class of settings, and errors that name the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from repic.config import plugins
from repic.errors import ConfigError


class Section(BaseModel):
    """A group of settings: immutable, and without unknown keys.

    An empty value (`--set key=`, `key:` in YAML) is accepted where the default is empty, too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _empty(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None or info.field_name is None:
            return value
        default = cls.model_fields[info.field_name].get_default(call_default_factory=True)
        if isinstance(default, Section):
            return {}
        if default in (None, "", (), [], {}):
            return default
        raise ValueError(f"needs a value; the default is {default}")

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if isinstance(value, str) and not is_utf8(value):
            raise ValueError("is not UTF-8: rename the file or folder")
        return value


class Extensible(Section):
    """A section in which each plug-in of a group has a section under its name.

    Attributes:
        group: The group of `repic.config.plugins`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]
    group: ClassVar[plugins.Group]

    @model_validator(mode="before")
    @classmethod
    def _of_plugins(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        more = {name: data[name] for name in data if name not in cls.model_fields}
        if not more:
            return data
        fields: dict[str, Any] = {
            name: (model, ...) for name in more if (model := plugins.settings_of(cls.group, name))
        }
        filled = {name: {} if value is None else value for name, value in more.items()}
        checked = create_model("PluginSettings", __base__=Section, **fields).model_validate(filled)
        return {**data, **{name: getattr(checked, name) for name in fields}}

    @property
    def given(self) -> dict[str, Section]:
        """The settings of plug-ins that were given."""
        return dict(self.__pydantic_extra__)

    def of_plugin(self, name: str) -> Any:
        """The settings of a plug-in, by default its own defaults; None if it has none.

        Raises:
            PluginError: it cannot be used.
        """
        if name in type(self).model_fields and plugins.is_plugin(self.group, name):
            raise plugins.find(self.group, name).error("has the name of one of our settings")
        if name in self.given:
            return self.given[name]
        model = plugins.settings_of(self.group, name)
        return model() if model else None


def added(default: Any, **options: Any) -> Any:
    """A field that a later release added: while it has its default, records leave it out, so that
    fingerprints of earlier runs stay."""
    return Field(default, exclude_if=lambda value: value == default, **options)


M = TypeVar("M", bound=BaseModel)


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8; names of files on Linux may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def validated(model: type[M], data: Mapping[str, Any], hint: str) -> M:
    """Validate nested values.

    Args:
        hint: Sentence that says which command lists all settings.

    Raises:
        ConfigError: unknown key (the nearest is named) or invalid value.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
        inside = {e["loc"][:-1] for e in errors} | {e["loc"][:-2] for e in errors}
        own = (e for e in errors if e["type"] != "too_short" or e["loc"] not in inside)
        explained = (_explain(e, model, data, hint) for e in own)
        raise ConfigError("; ".join(explained)) from None


def described(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting of a model as (key, default, help); those of an item of a list in the singular:
    `sources` is a list of `source`.
    """
    for name, field in model.model_fields.items():
        section, item = _sections(field.annotation)
        if section:
            yield from described(section, f"{prefix}{name}.")
            continue
        default = "" if field.is_required() else "one" if item else str(field.default)
        yield f"{prefix}{name}", default, field.description or ""
        if item:
            yield from described(item, f"{prefix}{_singular(name)}.")
    for name, section in _plugin_sections(model):
        yield from described(section, f"{prefix}{name}.")


def _plugin_sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Name and settings of the plug-ins that have a section in this one."""
    if issubclass(model, Extensible):
        yield from plugins.settings_models(model.group)


def _sections(kind: Any) -> tuple[type[BaseModel] | None, type[BaseModel] | None]:
    """The section that a field is, and the section of which it is a list."""
    if get_origin(kind) is tuple:
        return None, _sections(get_args(kind)[0])[0]
    is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
    return (kind if is_section else None), None


def _singular(name: str) -> str:
    return name.removesuffix("s")


def nearest(wrong: str, valid: Sequence[str], hint: str = "") -> str:
    """End of an error about an unknown name: the nearest valid one, or all if they are few."""
    last = wrong.rpartition(".")[2]
    close = difflib.get_close_matches(wrong, valid, 1, 0.6) or [
        key
        for key in valid
        if difflib.SequenceMatcher(None, key.rpartition(".")[2], last).ratio() > 0.7
    ]
    if close:
        return f"; did you mean {close[0]}?"
    if len(valid) < 12:
        return f"; one of: {', '.join(valid)}"
    return f"; {hint}" if hint else ""


def _explain(error: Any, model: type[BaseModel], data: Mapping[str, Any], hint: str) -> str:
    is_key = error["loc"][-1:] == ("[key]",)  # pydantic's place of a key of a mapping
    path = ".".join(_location(error["loc"][:-1] if is_key else error["loc"], data))
    if error["type"] == "extra_forbidden":
        return f"unknown setting {path}{nearest(path, _all_keys(model), hint)}"
    value = error["input"]
    if isinstance(value, str | int | float) and not is_key:
        path += f"={value}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "tuple_type" and isinstance(value, str):
        message = f"write a list: [{', '.join(item.strip() for item in value.split(','))}]"
    return f"{path}: {message}" if path else message


def _location(parts: Sequence[Any], data: Mapping[str, Any]) -> list[str]:
    """Where an error is; an item of a list of one by its singular."""
    if len(parts) > 1 and parts[1] == 0 and len(data.get(parts[0]) or ()) <= 1:
        parts = (_singular(parts[0]), *parts[2:])
    return [str(part) for part in parts]


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section, item = _sections(field.annotation)
        if section:
            keys += _all_keys(section, f"{prefix}{name}.")
        elif item:
            keys += _all_keys(item, f"{prefix}{_singular(name)}.")
    for name, section in _plugin_sections(model):
        keys += [f"{prefix}{name}", *_all_keys(section, f"{prefix}{name}.")]
    return keys
