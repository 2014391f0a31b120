"""Pickles are read as data: nothing of them runs, and their cost is bounded."""

from __future__ import annotations

import collections
import pickle
import pickletools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.sources import plain_pickle
from repic.sources.plain_pickle import PickleRefusedError, loads
from tests.timing import is_within

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_of_every_protocol_is_read(value: Any, protocol: int) -> None:
    assert loads(pickle.dumps(value, protocol)) == value


def test_texts_of_python_2_are_utf8_or_latin_1() -> None:
    for written in (
        b"S'caf\\xc3\\xa9'\np0\n.",
        b"U\x05caf\xc3\xa9.",
        b"S'caf\\xe9'\n.",
        b"U\x04caf\xe9.",
    ):
        assert loads(written) == "café"
    assert loads(b"(lp0\n(dp1\nS'ref_id'\np2\nI1\nsS'sent'\np3\nVcaf\\u00e9\np4\nsa.") == [
        {"ref_id": 1, "sent": "café"}
    ]


def test_tuples_become_lists() -> None:
    assert loads(pickle.dumps({"bbox": (1, 2, 3, 4)}, 2)) == {"bbox": [1, 2, 3, 4]}


class Runs:
    """Would make a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_program_runs(tmp_path: Any, protocol: int) -> None:
    target = tmp_path / "made"
    for value in (Runs(str(target)), [{"sentences": [Runs(str(target))]}]):
        with pytest.raises(PickleRefusedError, match="would run as a program"):
            loads(pickle.dumps(value, protocol))
    assert not target.exists()


OPERATIONS = {
    "global": b"cos\nsystem\n.",
    "instance": b"(S'true'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'true'\no.",
    "extension": b"\x82\x01.",
    "persistent id": b"Pname\n.",
    "class": pickle.dumps(collections.OrderedDict(a=1), 2),
    "set": pickle.dumps({1, 2}, 4),
    "buffer": b"\x97.",
    "prepared bytes": b"\x96" + struct.pack("<Q", 2**40) + b".",
    "unknown": b"\xff.",
}


@pytest.mark.parametrize("data", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_operations_of_programs_are_unknown(data: bytes) -> None:
    with pytest.raises(PickleRefusedError, match="lists, dictionaries, texts and numbers"):
        loads(data)


DAMAGED = {
    "empty": b"",
    "cut": pickle.dumps([{"a": 1}])[:-3],
    "text": b'[{"a": 1}]',
    "stack": b"0000.",
    "no such memo": b"g7\n.",
    "long text": b"X\xff\xff\xff\x7fabc.",
    "long number": b"\x8b\xff\xff\xff\x7f.",
    "digits": b"L" + b"9" * 10_000 + b"L\n.",
    "list as key": b"(](dd.",
    "wide frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",
    "wide memo": b"r\xff\xff\xff\xff.",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(PickleRefusedError):
        loads(data)


@given(st.binary(max_size=60))
def test_any_bytes_give_plain_data_or_a_refusal(data: bytes) -> None:
    try:
        value = loads(data)
    except PickleRefusedError:
        return
    assert isinstance(value, None.__class__ | bool | int | float | str | bytes | list | dict)


def test_nested_keys_cost_no_time_and_no_stack() -> None:
    """A tuple of itself twice, 60 times over, would take years to hash; 10^6 deep, the stack."""
    doubled = b"I1\n" + b"2\x86" * 60
    deep = b")" + b"\x85" * 1_000_000

    def refused() -> None:
        for nested in (doubled, deep):
            with pytest.raises(PickleRefusedError):
                loads(b"}" + nested + b"I1\ns.")

    assert is_within(5, refused)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_VALUES", 1000)
    for bomb in (b"]", b"}", b"(", b")", b"N\x94"):
        with pytest.raises(PickleRefusedError, match="more than 1000 values"):
            loads(bomb * 2000 + b".")
    monkeypatch.setattr(plain_pickle, "MAX_BYTES", 1000)
    with pytest.raises(PickleRefusedError, match="more than"):
        loads(pickle.dumps("x" * 2000))


def test_every_operation_is_known_or_refused() -> None:
    """None of Python's operations is overlooked when a new one is added."""
    program = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
    known = {chr(code) for code in plain_pickle._Reader.dispatch}
    assert not known & {op.code for op in pickletools.opcodes if op.name in program}
    assert not known & {
        op.code for op in pickletools.opcodes if op.name.startswith(("EXT", "PERS"))
    }
