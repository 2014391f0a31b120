"""YAML of strangers is plain data, and its aliases cost no memory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from repic.config import SourceSettings
from repic.errors import SourceError
from repic.sources import hf, plain_yaml, repic_records, yolo

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def bomb(merged: bool = False) -> str:
    """Ten lines that stand for 10**9 values; `*x` is all of them."""
    lines = ["a0: &a0 {k: v}" if merged else "a0: &a0 [k, v]"]
    for level in range(1, 10):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        value = f"{{<<: [{inner}]}}" if merged else f"[{inner}]"
        lines.append(f"a{level}: &a{level} {value}")
    return "\n".join([*lines, "b: &x [*a9]"]) + "\n"


@given(PLAIN)
def test_plain_data_is_read_as_it_was_written(value: object) -> None:
    shared = {"first": value, "again": value}
    assert plain_yaml.loads(yaml.safe_dump(shared)) == shared


@pytest.mark.parametrize("merged", [False, True])
def test_aliases_of_aliases_are_refused(merged: bool) -> None:
    with pytest.raises(plain_yaml.TooManyValuesError, match="more than 1,000,000 values"):
        plain_yaml.loads(bomb(merged))


def test_a_value_that_contains_itself_is_refused() -> None:
    with pytest.raises(plain_yaml.TooManyValuesError, match="contains it"):
        plain_yaml.loads("a: &a [*a]")


@pytest.mark.parametrize("text", ["{", "!!python/object/apply:os.system [true]", "a: *gone"])
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        plain_yaml.loads(text)


def test_an_empty_document_is_nothing() -> None:
    assert plain_yaml.loads("") is None


CARD = f"---\n{bomb()}configs:\n- config_name: a\n  data_files: a.parquet\n---\n# A set\n"
REFUSED = {
    "yolo": (yolo, "data.yaml", bomb() + "train: images\nnames: *x\n", "stand for more than"),
    "repic": (repic_records, "data.yaml", bomb() + "datasets: [{json_path: *x}]", "is no list"),
    "readme": (hf, "README.md", CARD, "stand for more than"),
    "spaces before": (hf, "README.md", f"\n {CARD}", "stand for more than"),
    "hub yaml": (hf, ".huggingface.yaml", bomb(), "stand for more than"),
    "long readme": (hf, "README.md", "---\na: b\n---\n" + "x" * (5 << 20), "more than 4 MB"),
}


@pytest.mark.parametrize(("source", "name", "text", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_data_set_that_would_fill_memory_is_refused_in_one_sentence(
    tmp_path: Path, source: ModuleType, name: str, text: str, says: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / name).write_text(text)
    path = tmp_path / name if source is repic_records else tmp_path
    with pytest.raises(SourceError, match=says):
        list(source.photos(SourceSettings(path=str(path))))
