"""One small build that many tests read, or copy and extend."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator

import pytest
from hypothesis import settings

# No test downloads anything; the hub's client would otherwise retry for half a minute.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from repic import cli
from storage.store import Store
from tests.builds import Album, Built, build
from tests.random_models import open_clip_folder

# The time of an example depends on the machine more than on the code; speed has separate tests.
settings.register_profile("repic", deadline=None)
settings.load_profile("repic")

LONG = (
    *("tools/test_demo.py", "flows/test_refresh.py", "torture/test_torture.py"),
    *("flows/test_serving.py", "flows/test_interruptions.py", "pipeline/test_kill.py"),
    *("flows/test_cluster.py", "flows/test_postgresql.py", "pipeline/test_on_s3.py"),
    *("flows/test_build_datasets.py", "training/test_whole_runs.py", "test_notebooks.py"),
    *("pipeline/test_concurrent_builds.py", "pipeline/test_bad_input.py"),
    *("pipeline/test_suspects.py", "flows/test_gpu.py", "pipeline/test_random_changes.py"),
    *("pipeline/test_rebuild.py", "pipeline/test_resume.py", "evaluation/test_run.py"),
    *("models/test_shared_prompts.py", "models/test_imagenet_classifier.py"),
    *("pipeline/test_build.py", "rewards/attacks/test_suite.py", "tools/test_base.py"),
)
"""Test files that take long: they start first, so that no worker is left with one at the end."""


def pytest_configure() -> None:
    """Let programs that tests start receive Ctrl-C, which a shell's background jobs ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep garbage collection away from what collecting the tests imports.

    These million objects stay; to look through them again and again takes half a second each.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


SLOW_SECONDS = 1800
"""After which a slow test counts as hanging, where it says nothing else; few need two minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; xdist keeps this order with `--no-loadscope-reorder`."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
    ranks = {f"tests/{name}": rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(LONG)))


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Forty generated photos in a folder; read-only."""
    folder = tmp_path_factory.mktemp("shared")
    return Album.make(folder / "album", folder / "world", open_clip_folder(folder / "encoder"))


@pytest.fixture(scope="session")
def built(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build of the album."""
    location = tmp_path_factory.mktemp("built") / "store"
    store = Store.open(location, create=True)
    return Built(album, location, build(album.settings(), store))


@pytest.fixture
def repic_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["repic", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        return (code if isinstance(code, int) else 1), *printed

    return run
