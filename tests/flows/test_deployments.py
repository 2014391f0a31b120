"""prefect.yaml has no unknown keys, which Prefect would ignore, and its flows load."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from pydantic import BaseModel

from flows.automations import KINDS
from flows.local.serving import POOL, deployments_file
from tests.test_docs import DOCS

NESTED: dict[str, type[BaseModel]] = {
    "deployments": DeploymentConfig,
    "schedules": RawScheduleConfig,
    "schedule": RawScheduleConfig,
    "work_pool": WorkPoolConfig,
    "concurrency_limit": ConcurrencyLimitSpec,
}


def unknown(data: Any, model: type[BaseModel], at: str = "") -> list[str]:
    """Keys at any level that Prefect ignores."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    wrong = [f"{at}{key}" for key in data if key not in known]
    for key, value in data.items():
        for item in value if isinstance(value, list) else [value]:
            if key in NESTED and isinstance(item, dict):
                wrong += unknown(item, NESTED[key], f"{at}{key}.")
    return wrong


def content() -> dict[str, Any]:
    return yaml.safe_load(deployments_file().read_text())


def test_prefect_knows_every_key() -> None:
    assert unknown(content(), PrefectYamlModel) == []
    PrefectYamlModel.model_validate(content())


def test_a_wrong_key_is_found_at_every_level() -> None:
    wrong = content()
    wrong["pul"] = []
    wrong["deployments"][0]["entry_point"] = ""
    wrong["deployments"][0]["work_pool"]["queue"] = ""
    wrong["deployments"][0]["schedules"][0]["on"] = True
    assert unknown(wrong, PrefectYamlModel) == [
        "pul",
        "deployments.entry_point",
        "deployments.schedules.on",
        "deployments.work_pool.queue",
    ]


def test_every_deployment_runs_its_module_anywhere() -> None:
    data = content()
    assert data["pull"] == []
    for deployment in data["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        assert flow.name == deployment["name"], "the bare name must mean both"
        assert deployment["work_pool"]["name"] == POOL
        assert deployment["description"].endswith(".")
        assert deployment["tags"][0] == "repic"
        for name, parameter in flow.parameters.properties.items():
            assert parameter["description"], f"{deployment['name']}: {name}"
            choices = parameter.get("anyOf", [parameter])
            assert all("type" in choice or "$ref" in choice for choice in choices), name
        flow.validate_parameters(deployment.get("parameters", {}))
        assert all(schedule["active"] is False for schedule in deployment.get("schedules", []))


def test_every_parameter_is_documented() -> None:
    page = (DOCS / "flows.md").read_text(encoding="utf-8")
    for deployment in content()["deployments"]:
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{deployment['name']}`")]
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        for name in flow.parameters.properties:
            assert f"`{name}`" in row, f"{deployment['name']}: {name}"


def test_every_automation_is_documented() -> None:
    page = (DOCS / "nightly.md").read_text(encoding="utf-8")
    assert [name for name in KINDS if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("entrypoint", "parameters", "shown"),
    [
        ("flows.reward_workers:reward_workers", {"port": 70000}, "65535"),
        ("flows.reward_workers:reward_workers", {"workers": 0}, "greater than or equal to 1"),
        ("flows.reward_workers:reward_workers", {"hours": 0}, "greater than 0"),
        ("flows.build_datasets:build_datasets", {"workers": 0}, "greater than or equal to 1"),
        ("flows.build_datasets:build_datasets", {"runner": "slurm"}, "'threads', 'dask' or 'ray'"),
        ("flows.evaluate:evaluate", {"suite": "smaple"}, "'sample'"),
        ("flows.train_grpo:train_grpo", {"method": "dpo"}, "'grpo' or 'sft'"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_the_run(
    entrypoint: str, parameters: dict[str, Any], shown: str
) -> None:
    flow = load_flow_from_entrypoint(entrypoint)
    given = {"dataset": "examples@latest", "model": "sample-base", **parameters}
    known = {name: value for name, value in given.items() if name in flow.parameters.properties}
    with pytest.raises(ParameterTypeError, match=re.escape(shown)):
        flow.validate_parameters(known)
