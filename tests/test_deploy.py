"""The image, the compose file and the units name what the code has; nothing here starts them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings.legacy import _get_valid_setting_names
from prefect.settings.models.root import Settings

from flows.local.serving import POOL
from tests.test_docs import DOCS, ROOT
from tests.test_docs_commands import parsed

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHERS = {
    *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"),
    *("PATH", "HOME", "DO_NOT_TRACK", "OMP_WAIT_POLICY"),
}
"""Environment variables of other programs."""
PORTS = {"studio": 8900, "reward serve": 8899, "up": 4200}


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of this name."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M))
    return re.findall(rf"^{name} (.+)$", joined, re.M)


def is_known(variable: str) -> bool:
    """Whether a program of ours reads this environment variable."""
    if variable.startswith("PREFECT_"):
        return variable in _get_valid_setting_names(Settings)
    if variable.startswith("REPIC_"):
        source = "".join(
            path.read_text(encoding="utf-8")
            for folder in ("repic", "flows")
            for path in (ROOT / folder).rglob("*.py")
        )
        return f'"{variable}"' in source
    return variable in OTHERS


def test_a_wrong_variable_is_found() -> None:
    assert is_known("REPIC_STORE")
    assert is_known("PREFECT_API_URL")
    assert not is_known("REPIC_STOER")
    assert not is_known("PREFECT_API_ULR")


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is of Linux on x86 only")
def test_the_dockerfile_has_no_lint() -> None:
    done = subprocess.run(
        ["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    patterns = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert patterns[0] == "*"
    kept = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copied = {
        source
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert copied == kept
    for source in copied:
        assert (ROOT / source).exists(), source
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = built["targets"]["wheel"]
    licences = {path for path in PROJECT["license-files"] if "/" not in path}
    assert {*wheel["packages"], *wheel["force-include"], PROJECT["readme"], *licences} <= copied


def test_the_image_installs_what_we_publish() -> None:
    [install] = [line for line in instructions("RUN") if "uv pip install" in line]
    [extras] = re.findall(r"'\.\[([\w,]+)\]'", install)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert "s3" in extras
    [python] = {line.split()[0] for line in instructions("FROM")}
    assert re.fullmatch(r"python:3\.1[1-3]-slim-bookworm", python)
    assert instructions("ENTRYPOINT") == ['["repic"]']
    assert "repic" in PROJECT["scripts"]
    variables = re.findall(r"(\w+)=", instructions("ENV")[0])
    assert [name for name in variables if not is_known(name)] == []
    assert int(instructions("USER")[0]) > 0


def words(service: dict[str, Any]) -> list[str]:
    """The command of a service, with its program."""
    return [*service.get("entrypoint", ["repic"]), *service["command"]]


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_that_exists(name: str) -> None:
    program, *arguments = words(OURS[name])
    published = [port.split(":") for port in OURS[name].get("ports", [])]
    assert all(host == "127.0.0.1" for host, _, _ in published)
    if program == "repic":
        command = parsed(tuple(arguments)).removeprefix("repic ")
        port = PORTS.get(command)
    elif program == "prefect":
        assert offered(arguments)
        port = 4200 if arguments[0] == "server" else None
    else:
        lines = arguments[-1].replace("$$", "$").splitlines()
        prefect = [shlex.split(line)[1:] for line in lines if line.startswith("prefect ")]
        assert len(prefect) == 2
        assert all(offered([word for word in line if word != "--no-prompt"]) for line in prefect)
        assert f"work-pool create {POOL} " in arguments[-1]
        port = None
    inside = arguments[arguments.index("--port") + 1] if "--port" in arguments else None
    assert ([str(port)] if port else []) == [target for _, _, target in published]
    assert inside is None or int(inside) == port


def offered(arguments: list[str]) -> bool:
    """Whether Prefect's command has these options."""
    names = list(arguments)
    first = next((n for n, word in enumerate(names) if word.startswith("-")), len(names))
    command = names[: min(first, 2)]
    program = [sys.executable, "-m", "prefect", *command, "--help"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    options = [word for word in names if word.startswith("--")]
    return bool(options) and all(option in done.stdout for option in options)


@pytest.mark.parametrize("name", OURS)
def test_a_service_sets_variables_that_are_read(name: str) -> None:
    environment = OURS[name].get("environment", {})
    assert [variable for variable in environment if not is_known(variable)] == []
    if "PREFECT_API_URL" in environment:
        server = words(COMPOSE["services"]["server"])
        port = server[server.index("--port") + 1]
        assert environment["PREFECT_API_URL"] == f"http://server:{port}/api"
        [s3] = [w for w in COMPOSE["services"]["s3"]["command"] if w.startswith("-s3.port=")]
        assert environment["AWS_ENDPOINT_URL"] == f"http://s3:{s3.partition('=')[2]}"


def test_what_services_name_is_in_the_file() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, re.M))
    assert set(re.findall(r"\$\{(\w+):\?", text)) == asked, "an empty value must be refused"
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"]), name
        mounted = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {v for v in mounted if not v.startswith("$")} <= set(COMPOSE["volumes"]), name
    bucket = re.search(r"makedirs\('(\w+)'", text)
    assert bucket
    assert OURS["worker"]["environment"]["REPIC_STORE"].startswith(f"s3://{bucket[1]}/")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_a_command_that_exists(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    [line] = re.findall(r"^ExecStart=(.+)$", text, re.M)
    program, *arguments = shlex.split(line)
    assert program == "/opt/repic/bin/repic"
    command = parsed(tuple(arguments)).removeprefix("repic ")
    assert arguments[arguments.index("--port") + 1] == str(PORTS[command])
    for environment in re.findall(r"^Environment=(.+)$", text, re.M):
        assert all(is_known(word.partition("=")[0]) for word in shlex.split(environment))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8").replace("/opt/repic/bin/repic", sys.executable)
    (tmp_path / unit.name).write_text(text, encoding="utf-8")
    verify = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    about = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, about) == (0, [])


def test_the_page_names_every_service_and_unit() -> None:
    page = (DOCS / "deploy.md").read_text(encoding="utf-8")
    for name in COMPOSE["services"]:
        assert f"| `{name}` |" in page
    for unit in UNITS:
        assert f"| `{unit.stem}` |" in page
