"""Large JSON files are read entry by entry, and as Python's own reader reads them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.sources import json_stream

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def read(data: bytes) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, Iterator) else value
        for name, value in json_stream.members(io.BytesIO(data))
    }


@given(
    st.dictionaries(st.text(), values),
    st.sampled_from([None, 1]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from([1, 3, 1 << 20]),
)
def test_it_reads_what_json_reads(
    value: dict[str, Any], indent: int | None, encoding: str, chunk: int
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=encoding == "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert read(text.encode(encoding, "replace")) == json.loads(
            text.encode(encoding, "replace")
        )


@pytest.mark.parametrize(
    "text",
    [
        *("{", '{"a"', '{"a":', '{"a": 1', '{"a": 1,}', '{"a": [1', '{"a": [1,]}', '{"a": [1 2]}'),
        *('{"a": [}', '{"a": 1} x', "{'a': 1}", '{"a": 1 "b": 2}', '{"a": nul}', "{1: 2}"),
        '{"a": ["x}',
    ],
)
def test_what_json_refuses_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    with pytest.raises(ValueError, match=r"at character \d+: .* was expected"):
        read(text.encode())


@pytest.mark.parametrize("text", ["", " ", "[]", "3", '"a"', "null", "not json"])
def test_another_value_is_no_object(text: str) -> None:
    with pytest.raises(json_stream.NotAnObjectError):
        read(text.encode())


def test_lists_that_nobody_reads_are_passed() -> None:
    members = json_stream.members(io.BytesIO(b'{"a": [1, {"b": 2}], "c": 3, "d": [4]}'))
    assert [name for name, _ in members] == ["a", "c", "d"]


def test_memory_is_that_of_an_entry() -> None:
    import tracemalloc

    entry = {"segmentation": ["x" * 8000]}
    data = json.dumps({"annotations": [entry] * 2000}).encode()
    tracemalloc.start()
    count = sum(1 for _, entries in json_stream.members(io.BytesIO(data)) for _ in entries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2000
    assert peak < 8 << 20 < len(data)


def test_a_file_that_cannot_go_back_is_read() -> None:
    class Stream(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise ValueError("cannot seek a stream")

    members = json_stream.members(Stream('{"a": ["é"]}'.encode()))
    assert [(name, list(value)) for name, value in members] == [("a", ["é"])]
    with pytest.raises(ValueError, match="utf-8"):
        list(json_stream.members(Stream('{"a": "é'.encode()[:-1])))
