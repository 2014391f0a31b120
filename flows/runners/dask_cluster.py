"""Shards on Dask: `prefect_dask` submits each task to a scheduler, a local one or a given one.

A local cluster listens on 127.0.0.1 only, with a certificate of its own that is in memory, so that
no other user of this machine can send it work. A worker that is lost is replaced by its nanny, and
its shard goes to another worker.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
import distributed
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker, Scheduler
from distributed.security import Security
from prefect_dask import DaskTaskRunner

from flows.runners import folders, no_gpu
from repic.errors import ClusterError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture

HOST = "127.0.0.1"
GPU = "GPU"
"""Resource of a worker with a GPU of its own, as in `dask worker --resources GPU=1`."""
FIRST = """import atexit, os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
atexit.register(os._exit, 0)
"""
"""Program that each worker runs first.

Ctrl-C is for the build, which then ends its cluster. A worker ends after the functions of `atexit`
that were registered later than this one; earlier ones do not run. To take all modules apart, as
Python does at its end, needs seconds, of which Dask would warn.
"""


class DaskCluster:
    """A connected cluster; see `flows.runners.Cluster`."""

    def __init__(self, runner: DaskTaskRunner, where: str, wants_gpu: bool) -> None:
        self._runner = runner
        self._where = where
        self._wants_gpu = wants_gpu
        self.slots = sum(runner.client.nthreads().values())

    def submit(
        self, task: Task[..., Any], parameters: dict[str, Any], uses_model: bool
    ) -> PrefectFuture[Any]:
        """Run a task on a worker."""
        on_gpu = {"resources": {GPU: 1}} if uses_model and self._wants_gpu else {}
        with dask.annotate(**on_gpu):
            return self._runner.submit(task, parameters)

    def look(self, what: Callable[[], str | None]) -> list[str | BaseException | None]:
        """Call a function on every worker."""
        answers = self._runner.client.run(what, on_error="return")
        return list(answers.values())

    def gpus(self) -> float:
        """GPUs that the workers declare."""
        workers = self._runner.client.scheduler_info(n_workers=-1)["workers"].values()
        return float(sum(worker["resources"].get(GPU, 0) for worker in workers))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of Dask into errors that name the remedy."""
        try:
            yield
        except KilledWorker as error:
            raise ClusterError(
                f"A shard has ended {error.allowed_failures + 1} worker processes of Dask: look "
                "into their logs; if memory is short, set a smaller runtime.batch_size or "
                "runtime.shard_rows, or start fewer workers. Finished shards are kept."
            ) from error
        except (CommClosedError, distributed.CancelledError) as error:
            raise ClusterError(
                f"{self._where} does not answer any more: start it again, and repeat the command. "
                "Finished shards are kept."
            ) from error


def _quiet() -> None:
    """Leave out a line for each connection, and the address of a dashboard that is not there."""
    for name in ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def connected(address: str, wants_gpu: bool) -> Iterator[DaskCluster]:
    """The running cluster at the address of its scheduler, such as `tcp://10.0.0.5:8786`."""
    _quiet()
    where = f"The Dask scheduler at {address}"
    runner = DaskTaskRunner(address=address)
    with runner:
        try:
            cluster = DaskCluster(runner, where, wants_gpu)
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(
                f"{where} cannot be reached ({error}): check the address, and that it runs."
            ) from error
        if not cluster.slots:
            raise ClusterError(f"{where} has no workers: start them with `dask worker {address}`.")
        if wants_gpu and not cluster.gpus():
            raise no_gpu('start a worker for each one with --resources "GPU=1"')
        yield cluster


@contextmanager
def local(workers: int, wants_gpu: bool) -> Iterator[DaskCluster]:
    """A cluster of worker processes on this machine."""
    _quiet()
    with folders.temporary("repic-dask-") as folder:
        specification = _specification(workers, wants_gpu, str(folder))
        runner = DaskTaskRunner(cluster_class=distributed.SpecCluster, cluster_kwargs=specification)
        # Without its dashboard, Dask's HTTP server still has pages about the work.
        with dask.config.set({"distributed.scheduler.http.routes": []}), runner:
            with _deaf_to_ctrl_c():
                cluster = DaskCluster(runner, "The local Dask cluster", wants_gpu)
            yield cluster


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from processes that start here, until they run `FIRST`.

    A terminal sends it to every process of a command, and each worker would print a traceback. In
    this process it waits for the end of this context.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _specification(workers: int, wants_gpu: bool, folder: str) -> dict[str, Any]:
    """Arguments of a `SpecCluster`: one thread a worker, which sees one GPU if one is wanted."""
    security = Security.temporary()
    common = {"host": HOST, "protocol": "tls://", "security": security}
    worker = {
        **common,
        "nthreads": 1,
        "memory_limit": 0,  # results go to the store; a limit would only end a large model
        "dashboard": False,
        "local_directory": folder,
        "silence_logs": logging.ERROR,
        "preload": [FIRST],
    }
    gpus = [
        {"env": {"CUDA_VISIBLE_DEVICES": str(number)}, "resources": {GPU: 1}} if wants_gpu else {}
        for number in range(workers)
    ]
    return {
        "scheduler": {
            "cls": Scheduler,
            "options": {**common, "port": 0, "dashboard": False, "dashboard_address": f"{HOST}:0"},
        },
        "workers": {
            number: {"cls": distributed.Nanny, "options": {**worker, **own}}
            for number, own in enumerate(gpus)
        },
        "security": security,
        "silence_logs": logging.ERROR,
    }
