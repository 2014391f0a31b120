"""What a build says about a runner before anything starts, and what goes to a worker."""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from flows import parameters, runners
from flows.local.runs import of_this_process
from flows.runners import Choice, folders, worker
from repic import errors
from repic.errors import ClusterError, ConfigError
from storage.store import Store
from tests.test_docs import DOCS, ROOT

Main = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(address="tcp://a:1"), "needs the runner dask or ray"),
        (Choice(workers=2), "needs the runner dask or ray"),
        (Choice("dask", "tcp://a:1", 2), "has its own workers"),
        (Choice("ray", workers=0), "one worker or more"),
        (Choice("spark"), "choose threads, dask or ray"),  # type: ignore[arg-type]
    ],
)
def test_options_that_exclude_each_other(choice: Choice, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choice.check()


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_an_extra_that_is_missing_is_named(
    kind: runners.Kind, monkeypatch: pytest.MonkeyPatch, repic_main: Main, tmp_path: Path
) -> None:
    monkeypatch.setattr(runners, "find_spec", lambda name: None)
    code, _, err = repic_main(
        *("build", "--profile", "sample", "--runner", kind, "--store", str(tmp_path / "store"))
    )
    assert code == 2
    assert f"pip install 'repic[{kind}]'" in err
    assert not (tmp_path / "store").exists()


def test_a_runner_that_does_not_exist_is_refused(repic_main: Main) -> None:
    code, _, err = repic_main("build", "--profile", "sample", "--runner", "spark")
    assert code == 2
    assert "'threads', 'dask', 'ray'" in err


def test_a_worker_says_what_it_lacks(tmp_path: Path) -> None:
    store = tmp_path / "store"
    mine = worker._versions()
    assert "does not see the store" in str(worker.missing(str(store), None, mine))
    Store.open(store, create=True)
    assert worker.missing(str(store), None, mine) is None
    assert "repic 0.0 on Python 3.1" in str(
        worker.missing(str(store), None, "repic 0.0 on Python 3.1")
    )
    nowhere = "http://127.0.0.1:9/api"
    assert "set PREFECT_API_URL" in str(worker.missing(str(store), nowhere, mine))


def test_a_flow_that_holds_a_lock_goes_to_workers_without_it(tmp_path: Path) -> None:
    from flows.build_datasets import build_datasets

    with of_this_process(tmp_path, build_datasets) as held:
        [hook] = held.on_running_hooks
        run = type("Run", (), {"id": "run"})
        hook(held, run, None)
        assert [path.name for path in (tmp_path / "running").iterdir()] == ["run"]
        there = pickle.loads(cloudpickle.dumps(held))
        [copied] = there.on_running_hooks
        copied(there, run, None)
    assert not list((tmp_path / "running").iterdir())


def test_what_killed_builds_left_is_deleted_and_what_is_in_use_stays(tmp_path: Path) -> None:
    where = str(tmp_path)
    with folders.temporary("repic-x-", where) as used:
        for name in ("repic-x-killed", "repic-y-other", "repic-x-strange"):
            (tmp_path / name / "ray").mkdir(parents=True)
        for name in ("repic-x-killed", "repic-y-other"):
            (tmp_path / name / folders.LOCK).touch()
        with folders.temporary("repic-x-", where) as second:
            names = {path.name for path in tmp_path.iterdir()}
            assert names == {used.name, second.name, "repic-y-other", "repic-x-strange"}
    assert {path.name for path in tmp_path.iterdir()} == {"repic-y-other", "repic-x-strange"}


def test_a_refresh_looks_at_its_runner_first(repic_main: Main, tmp_path: Path) -> None:
    where = ("--store", str(tmp_path / "store"), "--address", "tcp://a:1")
    code, _, err = repic_main("refresh", "run", *where)
    assert (code, "needs the runner dask or ray" in err) == (2, True)
    assert not (tmp_path / "store").exists()


EVERY = [
    error
    for error in (*vars(errors).values(),)
    if isinstance(error, type) and issubclass(error, Exception)
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_errors_come_back_from_a_worker(error: type[Exception]) -> None:
    back = pickle.loads(pickle.dumps(error("why")))
    assert (type(back), str(back)) == (error, "why")


def test_a_damaged_file_comes_back_from_a_worker() -> None:
    from storage.errors import DamagedError

    assert str(pickle.loads(pickle.dumps(DamagedError("a", "b")))) == str(DamagedError("a", "b"))


def test_nobody_listens_at_the_address() -> None:
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    import dask

    from flows.runners import dask_cluster

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(ClusterError, match=r"tcp://127.0.0.1:9 cannot be reached"),
        ExitStack() as stack,
    ):
        stack.enter_context(dask_cluster.connected("tcp://127.0.0.1:9", wants_gpu=False))


PAGE = (DOCS / "cluster.md").read_text(encoding="utf-8")
RUN_BY_TESTS = {
    "accelerate": "training/test_whole_runs.py",
    "dask": "flows/test_cluster.py",
    "export": "flows/cluster_page.py",
    "openssl": "flows/cluster_page.py",
    "pip": "test_wheel.py",
    "prefect": "flows/test_postgresql.py",
    "ray": "flows/test_cluster.py",
    "repic build": "flows/test_cluster.py",
    "repic run": "flows/test_postgresql.py",
    "ssh": "flows/test_runners.py",
    "sudo": "flows/test_postgresql.py",
}
"""Programs of the page -> the tests that run their commands as they stand there."""


def test_every_command_of_the_page_is_of_a_kind_that_a_test_runs() -> None:
    text = re.sub(r"```yaml\n.*?```", "", PAGE, flags=re.S)
    programs = set()
    for line in re.findall(r"^ {4,8}([^ ].*)$", text, re.M):
        words = re.sub(r"^([A-Z_]+=\S+ )+", "", line).split()
        programs.add(" ".join(words[: 1 + (words[0] == "repic")]))
    assert programs == RUN_BY_TESTS.keys()
    for program, file in RUN_BY_TESTS.items():
        assert program in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_the_parameters_of_the_page_are_those_of_the_flow() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.build_datasets import build_datasets

    schema = parameter_schema(build_datasets).model_dump()
    given: dict[str, Any] = {}
    for line in re.findall(r"repic run build-datasets (.*)", PAGE):
        words = [word for word in shlex.split(line) if not word.startswith("--")]
        given |= parameters.read(words, schema)
    assert set(given) == {"images", "runner", "address"}
    Choice(given["runner"], given["address"]).check()


def test_the_tunnel_of_the_page_is_understood_by_ssh() -> None:
    if not shutil.which("ssh"):
        pytest.skip("ssh is not installed")
    [line] = re.findall(r"^ +(ssh .*)$", PAGE, re.M)
    program, *rest = shlex.split(line)
    done = subprocess.run([program, "-G", *rest], capture_output=True, text=True, check=True)
    assert "localforward [127.0.0.1]:8786 [10.0.0.5]:8786" in done.stdout


def test_the_extras_of_the_page_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"repic\[(\w+)\]", PAGE)) <= set(project["optional-dependencies"])
