"""Parameters of the command line have the types that the flow declares."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flows.parameters import read
from repic.errors import ConfigError

SCHEMA: dict[str, Any] = {
    "properties": {
        "images": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "overrides": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        "workers": {"type": "integer", "minimum": 1},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "hours": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]},
        "allow_shrink": {"type": "boolean"},
        "method": {"anyOf": [{"type": "string", "enum": ["grpo", "sft"]}, {"type": "null"}]},
        "anything": {},
    }
}


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("images=/photos", "/photos"),
        ("images=2024", "2024"),
        ("images=true", "true"),
        ("images=[1]", "[1]"),
        ("images=NaN", "NaN"),
        ('images="a b"', "a b"),
        ("images=null", None),
        ("images=a=b", "a=b"),
        ('overrides=["a.b=1", "c.d=2"]', ["a.b=1", "c.d=2"]),
        ("overrides=encoder.view=crop", ["encoder.view=crop"]),
        ("overrides=7", ["7"]),
        ("workers=3", 3),
        ("hours=1.5", 1.5),
        ("hours=2", 2),
        ("allow_shrink=true", True),
        ("method=sft", "sft"),
        ("anything=3", 3),
        ("anything=x", "x"),
    ],
)
def test_a_value_has_the_type_of_its_parameter(param: str, value: object) -> None:
    (read_value,) = read([param], SCHEMA).values()
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("param", "says"),
    [
        ("images", "needs key=value"),
        ("images=", "the parameter images is empty: give a value, or leave it out"),
        ("overrides= ", "the parameter overrides is empty"),
        ("imges=x", "there is no parameter imges; did you mean images?"),
        ("workers=many", "--param workers=many is not a number of type integer"),
        ("workers=true", "is not a number"),
        ("workers=0", "--param workers=0 is not a number of type integer, at least 1"),
        ("port=65536", "is not a number of type integer, at least 1, at most 65535"),
        ("hours=0", "--param hours=0 is not a number of type number, more than 0"),
        ("hours=NaN", "is not a number of type number, more than 0"),
        ("allow_shrink=1", "is not true or false"),
        ("method=dpo", "is not one of grpo, sft"),
    ],
)
def test_another_value_is_one_sentence(param: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        read([param], SCHEMA)


def test_parameters_are_those_of_the_flows() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.build_datasets import build_datasets

    schema = parameter_schema(build_datasets).model_dump_for_openapi()
    params = ["images=2024", "identity=folder:2", "overrides=a.b=c", "allow_shrink=true"]
    assert read(params, schema) == {
        "images": "2024",
        "identity": "folder:2",
        "overrides": ["a.b=c"],
        "allow_shrink": True,
    }
