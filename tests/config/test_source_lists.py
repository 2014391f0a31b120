"""Lists of sources: `source`, `sources`, --source, and changes to one or all of them."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic import config
from repic.config import SourceSettings, load
from repic.config.plugins import OWN
from repic.config.source_lists import names_of, parse
from repic.config.sources import readers_of, unread_by
from repic.errors import ConfigError
from tests.test_structure import imports, tree

KINDS = OWN["sources"]
TWO: dict[str, Any] = {
    "sources": [{"kind": "folder", "path": "a"}, {"kind": "coco", "path": "b.json"}]
}


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("coco:instances.json", "coco", "instances.json"),
        ("photos", "folder", "photos"),
        ("folder:photos", "folder", "photos"),
        ("s3://bucket/photos", "folder", "s3://bucket/photos"),
        ("coco:https://host/x.json", "coco", "https://host/x.json"),
        (r"C:\photos", "folder", r"C:\photos"),
        (r"folder:C:\photos", "folder", r"C:\photos"),
        ("C:/photos", "folder", "C:/photos"),
        ("folder:a:b", "folder", "a:b"),
        ("sample:", "sample", None),
        ("hf:owner/name", "hf", "owner/name"),
        ("sql:SELECT uri FROM 'x.parquet'", "sql", "SELECT uri FROM 'x.parquet'"),
    ],
)
def test_a_source_is_a_kind_and_a_path(text: str, kind: str, path: str | None) -> None:
    assert parse(text) == {"kind": kind, "path": path}


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("folder:~/family", "~/family"):
        assert parse(text) == {"kind": "folder", "path": os.path.join(tmp_path, "family")}


def test_an_unknown_kind_far_from_all_says_where_they_are_listed() -> None:
    with pytest.raises(ConfigError, match=r"kind of source 'kodak'; `repic sources` lists them"):
        parse("kodak:photos")


def test_an_unknown_kind_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=re.escape("no kind of source 'cocoo'; did you mean coco")
    ):
        parse("cocoo:instances.json")
    with pytest.raises(ConfigError, match="did you mean folder"):
        load("photos", ("source.kind=foldr",))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my:photos").mkdir()
    assert parse("my:photos") == {"kind": "folder", "path": "my:photos"}


@given(st.text(max_size=20))
def test_any_text_is_a_source_or_one_error(text: str) -> None:
    try:
        assert parse(text)["kind"] in KINDS
    except ConfigError:
        assert ":" in text


def test_source_is_a_list_of_one() -> None:
    old = config.Settings.model_validate({"source": {"kind": "coco", "path": "x.json"}})
    assert [s.name for s in old.sources] == ["coco"]
    assert old.sources[0].identity == "folder"
    assert old.sources[0].detector is None
    assert load("photos", ("source.kind=coco", "source.path=x.json")).sources == old.sources
    given_one = config.Settings(sources=(SourceSettings(kind="coco", path="x.json"),))
    assert given_one.sources == old.sources


def test_items_of_a_list_have_the_defaults_of_their_kind() -> None:
    folder, coco = load("photos", **TWO).sources
    assert (folder.identity, folder.detector) == ("folder", None)
    assert coco.identity == "annotation"
    assert coco.detector
    assert coco.detector.kind == "annotation"
    own = [{**TWO["sources"][1], "detector": None, "identity": "none"}]
    [plain] = load("photos", sources=own).sources
    assert (plain.identity, plain.detector) == ("none", None)


def test_a_detector_of_a_source_changes_the_section_or_starts_anew() -> None:
    sources = [
        {"path": "a", "detector": {"confidence": 0.9}},
        {"path": "b", "detector": {"kind": "yolo", "checkpoint": "sample"}},
        {"path": "c", "detector": "annotation"},
    ]
    settings = load("photos", ("detector.max_objects=7",), sources=sources)
    same, other, none = (settings.detector_of(source) for source in settings.sources)
    assert (same.kind, same.confidence, same.image_size) == ("photos", 0.9, 384)
    assert (other.kind, other.max_objects, other.image_size) == ("yolo", 20, 640)
    assert (none.kind, none.max_objects) == ("annotation", 7)


def test_changes_go_to_all_sources_or_to_one() -> None:
    changes = (
        *("source.licence=CC0-1.0", "sources.coco.images=val", "sources.0.weight=2"),
        "sources.coco.detector.confidence=0.5",
    )
    folder, coco = load("photos", changes, **TWO).sources
    assert (folder.licence, folder.weight, folder.images) == ("CC0-1.0", 2, None)
    assert (coco.licence, coco.weight, coco.images) == ("CC0-1.0", 1, "val")
    assert coco.detector
    assert (coco.detector.kind, coco.detector.confidence) == ("annotation", 0.5)


def test_a_later_list_replaces_an_earlier_one(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("sources:\n- {kind: folder, path: a}\n- {kind: hf, path: b}\n")
    assert [s.kind for s in load(str(profile)).sources] == ["folder", "hf"]
    chosen = config.chosen_sources(sources=["coco:x"], identity="none")
    [coco] = load(str(profile), **chosen).sources
    assert (coco.kind, coco.identity) == ("coco", "none")
    [sample] = load("sample", ("source.count=9",)).sources
    assert (sample.kind, sample.count, sample.detector) == ("sample", 9, None)


def test_a_wrong_source_of_a_list_is_one_error() -> None:
    with pytest.raises(ConfigError) as wrong:
        load("photos", sources=[{"path": "a", "weight": -1}])
    assert str(wrong.value) == "source.weight=-1: Input should be greater than 0"
    with pytest.raises(ConfigError, match=r"^sources: .* at least 1 item"):
        load("photos", sources=[])


def test_a_level_of_folders_is_for_folders_only() -> None:
    chosen = config.chosen_sources(sources=["folder:a", "coco:b"], identity="folder:2")
    assert [s.identity for s in load("photos", **chosen).sources] == ["folder:2", "annotation"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("source.path=x",),
            "source.path: there are 2 sources; change one, as sources.folder.path",
        ),
        (("sources.cocoo.path=x",), "sources.cocoo: there is no such source; one of: folder, coco"),
        (("sources.7.path=x",), "sources.7: there is no such source"),
        (("sources.coco.pth=x",), "unknown setting sources.1.pth; did you mean source.path?"),
        (("sources.coco.name=folder",), "two sources are called folder: give each a name"),
        (("sources.coco.name=a.b",), "sources.1.name=a.b"),
        (("sources.coco.weight=0",), "sources.1.weight=0"),
        (("sources.coco.objectives=[]",), "sources.1.objectives"),
        (
            ("sources.coco.min_quality=4",),
            "sources.1: min_quality is for sources of kind subjects200k; one of kind coco does not",
        ),
        (
            ("source.split=val",),
            "split is for sources of kind hf, webdataset, subjects200k; one of kind folder does "
            "not read it: leave it out, or set it for one source, as sources.NAME.split",
        ),
        (("sources.coco=x",), "sources.coco is a section of settings"),
        (("source=x",), "source is a section of settings"),
        (("sources=x",), "sources=x"),
        (("sources=",), "sources: needs a value"),
        (("sources=[x]",), "source=x: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_change_is_one_clear_error(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load("photos", overrides, **TWO)


def test_a_change_of_kind_drops_what_only_the_old_kind_reads(tmp_path: Path) -> None:
    """As `--images` with a profile of generated photos; what was set for no kind is an error."""
    [folder] = load("sample", **config.chosen_sources("photos")).sources
    assert (folder.kind, folder.count) == ("folder", SourceSettings().count)
    [hf] = load("photos", ("source.images=x", "source.kind=hf")).sources
    assert hf.images == "x"
    with pytest.raises(ConfigError, match="count is for sources of kind sample"):
        load("photos", ("source.count=7", "source.kind=hf"))


def test_records_with_settings_that_were_never_read_are_read() -> None:
    old = {"kind": "folder", "path": "a", "refs": "b", "count": 9, "licence": "CC0-1.0"}
    for record in ({"source": old}, {"sources": [old]}):
        [source] = config.from_record(record).sources
        assert (source.refs, source.count, source.licence) == (None, 400, "CC0-1.0")


def _read(module: str) -> set[str]:
    """Attributes of settings that a module reads."""
    attributes = (n for n in ast.walk(tree(module)) if isinstance(n, ast.Attribute))
    return {n.attr for n in attributes if ast.unparse(n.value).endswith("settings")}


def _texts(module: str) -> set[str]:
    """Texts of a module, of which some are names for `getattr`."""
    return {str(n.value) for n in ast.walk(tree(module)) if isinstance(n, ast.Constant)}


def _with_imports(module: str) -> set[str]:
    """A module of the sources and all other ones that it imports."""
    found, waiting = set(), [module]
    while waiting:
        found.add(name := waiting.pop())
        waiting += [n for n in imports(name) - found if n.startswith("repic.sources.")]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_that_read_a_setting_are_those_whose_module_does(kind: str) -> None:
    module = KINDS[kind]
    of_some = {n for n in SourceSettings.model_fields if readers_of(n)}
    declared = of_some - unread_by(kind)
    assert declared <= set().union(*(_read(m) | _texts(m) for m in _with_imports(module)))
    assert of_some & _read(module) <= declared


def test_one_form_at_a_time(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("source: {path: a}\nsources: [{path: b}]\n")
    with pytest.raises(ConfigError, match="not both"):
        load(str(profile))
    with pytest.raises(ConfigError, match="not both"):
        config.from_record({"source": {"path": "a"}, "sources": [{"path": "b"}]})
    with pytest.raises(ConfigError, match="not both"):
        config.chosen_sources("a", ["folder:b"])


items = st.lists(
    st.fixed_dictionaries({"kind": st.sampled_from([*KINDS]), "path": st.text(max_size=8)}),
    min_size=1,
    max_size=5,
)


@given(items)
def test_names_are_valid_or_two_are_alike(sources: list[dict[str, Any]]) -> None:
    names = names_of(sources)
    for source, name in zip(sources, names, strict=True):
        assert SourceSettings(kind=source["kind"], name=name).name == name
        assert name.startswith(source["kind"])
    if len(set(names)) == len(names):
        settings = config.Settings.model_validate({"sources": sources})
        assert [s.name for s in settings.sources] == names


@given(items)
def test_a_record_is_read_back_as_it_was(sources: list[dict[str, Any]]) -> None:
    names = names_of(sources)
    unique = [s for n, s in enumerate(sources) if names[n] not in names[:n]]
    settings = config.as_recorded(config.Settings.model_validate({"sources": unique}))
    assert config.from_record(settings.record(config.BUILD)).sources == settings.sources
