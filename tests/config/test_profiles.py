"""Settings: profiles, overrides, and errors that name the remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from repic import config
from repic.config import load
from repic.errors import ConfigError

FOLDER = {"source": {"kind": "folder", "path": "photos"}}


@pytest.mark.parametrize("profile", ["sample", "photos", "clip", "paper", "modern"])
def test_every_profile_loads(profile: str) -> None:
    assert profile in config.profiles()
    assert load(profile, **FOLDER).sources[0].path == "photos"


def test_overrides_go_on_top_of_values_on_top_of_the_profile() -> None:
    settings = load("photos", ("source.path=/b", "examples.ict.max_references=3"), **FOLDER)
    assert settings.sources[0].path == "/b"
    assert settings.examples.ict.max_references == 3
    assert settings.encoder.architecture == "photos"


def test_an_override_is_read_as_yaml() -> None:
    settings = load("photos", ("detector.vocabulary=[dog, cat]",), **FOLDER)
    assert settings.detector.vocabulary == ("dog", "cat")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("detector.confidance=0.3", "did you mean detector.confidence?"),
        ("mining.hard_per_objekt=3", "did you mean mining.hard_per_object?"),
        ("minig.hard_per_object=3", "did you mean mining"),
        ("runtime.shard_rows=0", "runtime.shard_rows"),
        ("nonsense", "section.key=value"),
        ("source.path=[", "not a YAML value"),
        ("splits.test=0.95", "leave something to train on"),
        ("detector.vocabulary=dog, mug", "write a list: [dog, mug]"),
        ("examples.names.locales=en_US", "write a list: [en_US]"),
        ("detector.vocabulary=none.txt", "cannot be read"),
        ("source.weight=.inf", "source.weight=inf"),
        ("refresh.tag=latest", "'latest' cannot be a tag"),
        ("refresh.tag=two words", "'two words' cannot be a tag"),
    ],
)
def test_a_wrong_override_is_one_clear_error(override: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(hint)):
        load("photos", (override,), **FOLDER)


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean photos"):
        load("photo")
    with pytest.raises(ConfigError, match=r"there is no profile file nowhere\.yaml"):
        load("nowhere.yaml")


def test_a_request_is_a_folder_a_profile_and_changes() -> None:
    asked = config.load(
        "photos", ["runtime.threads=1"], **config.chosen_sources("album", identity="none")
    )
    [source] = asked.sources
    assert (source.kind, source.path, source.identity) == ("folder", "album", "none")
    assert asked.runtime.threads == 1
    assert config.load("sample", **config.chosen_sources()).sources[0].kind == "sample"


@pytest.mark.parametrize("profile", ["sample", "photos"])
def test_an_empty_folder_is_not_the_source_of_the_profile(profile: str) -> None:
    (source,) = config.load(profile, **config.chosen_sources("")).sources
    with pytest.raises(ConfigError, match="needs a path"):
        source.require_path()


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"source.path=.*: is not UTF-8: rename"):
        load("photos", source={"kind": "folder", "path": os.fsdecode(b"photos \xff")})


def test_a_source_needs_a_path() -> None:
    with pytest.raises(ConfigError, match="--images"):
        load("photos", source={"kind": "folder"}).sources[0].require_path()


def test_a_profile_may_be_a_file(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("source: {kind: folder, path: here}\nruntime: {threads: 1}\n")
    assert load(str(path)).runtime.threads == 1
    path.write_text("- not\n- sections\n")
    with pytest.raises(ConfigError, match="sections of settings"):
        load(str(path))
    path.write_bytes(b"source: {name: caf\xe9}")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load(str(path))


def test_every_setting_is_described() -> None:
    keys = [key for key, _, _ in config.describe(config.BUILD)]
    assert "examples.ict.max_references" in keys
    assert len(keys) == len(set(keys))
    undescribed = [key for key, _, help_ in config.describe(config.BUILD) if not help_]
    assert undescribed == []


SETTINGS = sorted(
    {
        key
        for scope in (config.BUILD, config.TRAIN, config.EVALUATE, config.REFRESH)
        for key, _, _ in config.describe(scope)
    }
)


@pytest.mark.parametrize("key", SETTINGS)
def test_an_empty_value_is_the_empty_default_or_refused(key: str) -> None:
    defaults = {
        name: default
        for scope in (config.BUILD, config.TRAIN, config.EVALUATE, config.REFRESH)
        for name, default, _ in config.describe(scope)
    }
    if defaults[key] not in ("", "None", "()", "[]", "{}"):
        with pytest.raises(ConfigError, match=rf"{key}: needs a value; the default is "):
            load("photos", (f"{key}=",), **FOLDER)
        return
    value: object = load("photos", (f"{key}=",), **FOLDER)
    if key.startswith("source."):
        value, key = value.sources[0], key.removeprefix("source.")
    for part in key.split("."):
        value = getattr(value, part)
    assert not value or (key, value) == ("name", "folder")


def test_a_vocabulary_is_a_list_a_file_or_shipped(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("dog\n\n  red mug \n", encoding="utf-8")
    assert load("photos", (f"detector.vocabulary={words}",)).detector.vocabulary == (
        "dog",
        "red mug",
    )
    shipped = load("clip").detector.vocabulary
    assert len(shipped) == len(set(shipped)) > 300
    assert shipped == tuple(word.lower().strip() for word in shipped)
