"""The front door opens at once: no heavy library is imported before it is needed."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import flows
from tests.timing import cpu_of_children, is_quick

HEAVY = {
    *("torch", "transformers", "prefect", "datasets", "ultralytics", "open_clip", "timm", "trl"),
    *("faker", "duckdb", "matplotlib", "scipy", "torchvision"),
}
NOT_FOR_HELP = {"pyarrow", "pandas", "numpy", "PIL", "fsspec", "flows"}
"""Light enough for a build (`pyarrow.dataset` brings pandas), but not for a page of help."""

HELP = """
import sys
sys.argv = ['repic', {}]
from repic.cli import main
try:
    main()
except SystemExit:
    pass
"""


def imported(code: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after `code`."""
    script = (
        f"{code}\nimport sys; print('\\n' + ' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    return set(done.stdout.splitlines()[-1].split())


def opens_within(seconds: float, code: str) -> bool:
    """Whether a fresh Python needs no more CPU time for `code` than this, beside its own start."""
    return any(is_quick(seconds, cpu(code) - cpu("pass")) for _ in range(8))


def cpu(code: str) -> float:
    """CPU seconds of a fresh Python."""
    return cpu_of_children(
        lambda: subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, timeout=300
        )
    )


@pytest.mark.parametrize("arguments", ["'--help'", "'build', '--help'", "'sql', '--help'"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    loaded = imported(HELP.format(arguments))
    assert "typer" in loaded
    assert not loaded & (HEAVY | NOT_FOR_HELP)


def test_import_repic_imports_nothing() -> None:
    assert not imported("import repic") & (HEAVY | NOT_FOR_HELP)


def test_the_api_imports_what_a_function_needs_when_it_is_called() -> None:
    names = "repic.open, repic.build, repic.Version, repic.Example, repic.Settings"
    assert not imported(f"import repic; {names}") & HEAVY


def test_no_module_of_the_build_imports_a_model() -> None:
    names = ("build", "execution", "catalog", "reviews", "stages", "scan")
    loaded = imported("\n".join(f"import repic.pipeline.{name}" for name in names))
    assert "repic" in loaded
    assert not loaded & HEAVY


def test_no_flow_imports_a_model() -> None:
    """Deploying imports all of them, before anything runs."""
    names = [module.name for module in pkgutil.iter_modules(flows.__path__, "flows.")]
    assert "flows.train_grpo" in names
    loaded = imported("\n".join(f"import {name}" for name in names))
    assert "prefect" in loaded
    assert not loaded & (HEAVY - {"prefect"})


def test_a_fingerprint_needs_no_model() -> None:
    code = (
        "from repic import config; from repic.pipeline.stages import STAGES\n"
        "for profile in ('sample', 'photos'):\n"
        "    settings = config.load(profile, source={'path': '/nowhere'})\n"
        "    assert len({stage.fingerprint(settings) for stage in STAGES}) == len(STAGES)"
    )
    assert not imported(code) & HEAVY


def test_the_front_door_opens_at_once() -> None:
    assert opens_within(0.3, "import repic")
    assert opens_within(1, HELP.format("'--help'"))
