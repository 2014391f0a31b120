"""Shards on Ray: `prefect_ray` submits each task to a local Ray or to a given one.

Ray listens on all interfaces of a machine, also for a cluster of one machine. So a local Ray gets
a random token, without which nobody can send it work. A worker that is lost is replaced by Ray, and
its shard is computed again.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from flows.runners import folders, no_gpu
from repic.errors import ClusterError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture

HOST = "127.0.0.1"

OBJECTS = 256 << 20
"""Bytes of Ray's shared memory; results go to the store, so it needs little."""

DEFAULTS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_server_port_wait_time_s": "120"}
"""No usage statistics; and more than 30 s for the first process of Ray on a busy machine."""

STARTS = 3
"""Attempts to start a local Ray, which gives up after 30 s; a busy machine may need longer."""


class RayCluster:
    """A connected cluster; see `flows.runners.Cluster`."""

    def __init__(self, runner: Any, where: str, wants_gpu: bool) -> None:
        import ray

        self._runner = runner
        self._where = where
        self._wants_gpu = wants_gpu
        resources = ray.cluster_resources()
        self.slots = int(resources.get("CPU", 0))
        self.gpus = resources.get("GPU", 0)

    def submit(
        self, task: Task[..., Any], parameters: dict[str, Any], uses_model: bool
    ) -> PrefectFuture[Any]:
        """Run a task on a worker."""
        from prefect_ray.context import remote_options

        # Ray ends a worker after each task with a GPU unless told otherwise: the model would go.
        on_gpu = uses_model and self._wants_gpu
        options = {"num_gpus": 1, "max_calls": 0} if on_gpu else {}
        with remote_options(**options):
            future: PrefectFuture[Any] = self._runner.submit(task, parameters)
            return future

    def look(self, what: Callable[[], str | None]) -> list[str | BaseException | None]:
        """Call a function on every machine."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        @ray.remote(num_cpus=0, max_retries=0)
        def remote() -> str | None:
            return what()

        asked = [
            remote.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote()
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        ]
        answers: list[str | BaseException | None] = []
        for one in asked:
            try:
                answers.append(ray.get(one))
            except ray.exceptions.RayError as error:
                answers.append(getattr(error, "cause", None) or error)
        return answers

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of Ray into errors that name the remedy."""
        import ray

        lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        )
        try:
            yield
        except lost as error:
            raise ClusterError(
                "A shard has ended several worker processes of Ray: look into their logs; if "
                "memory is short, set a smaller runtime.batch_size or runtime.shard_rows, or "
                "start fewer workers. Finished shards are kept."
            ) from error
        except (ray.exceptions.RaySystemError, ConnectionError) as error:
            raise ClusterError(
                f"{self._where} does not answer any more: start it again, and repeat the command. "
                "Finished shards are kept."
            ) from error


@contextmanager
def connected(address: str, wants_gpu: bool) -> Iterator[RayCluster]:
    """A running cluster that this machine is part of: `HOST:PORT`, or `auto`."""
    import ray

    where = f"The Ray cluster at {address}"
    try:
        runner = _entered({"address": address, "log_to_driver": False})
    except ray.exceptions.AuthenticationError as error:
        raise ClusterError(
            f"{where} asks for its token: set RAY_AUTH_MODE=token, and have the file "
            "~/.ray/auth_token of its machines."
        ) from error
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"{where} cannot be reached ({error}): check the address, and that it runs."
        ) from error
    with _leaving(runner):
        cluster = RayCluster(runner, where, wants_gpu)
        if wants_gpu and not cluster.gpus:
            raise no_gpu("start Ray on a machine with one, or with --num-gpus")
        yield cluster


@contextmanager
def local(workers: int, wants_gpu: bool) -> Iterator[RayCluster]:
    """A Ray of worker processes on this machine."""
    with folders.temporary("repic-ray-", _short_folder()) as folder, _token():
        # Ray lets all users enter its own folder, so it is inside of one that is private.
        runner = _started(
            {
                "address": "local",
                "num_cpus": workers,
                "num_gpus": workers if wants_gpu else 0,
                "include_dashboard": False,
                "object_store_memory": OBJECTS,
                "_node_ip_address": HOST,
                "_temp_dir": str(folder / "ray"),
            }
        )
        with _leaving(runner):
            yield RayCluster(runner, "The local Ray", wants_gpu)


def _started(arguments: dict[str, Any]) -> Any:
    """As `_entered`, of a Ray that is started. Raises: ClusterError."""
    attempts = 0
    while True:
        try:
            return _entered(arguments)
        except Exception as error:  # Ray raises no more special one
            attempts += 1
            if attempts == STARTS:
                raise ClusterError(
                    f"Ray does not start on this machine ({error}): stop other programs, or use "
                    "--runner dask."
                ) from error


def _short_folder() -> str | None:
    """A folder for Ray's sockets, whose paths have at most 107 bytes."""
    return "/tmp" if os.path.isdir("/tmp") else None


@cache
def _secret() -> str:
    """The token of this process; Ray remembers the first one that it sees."""
    return secrets.token_urlsafe(32)


@contextmanager
def _token() -> Iterator[None]:
    """Let only processes that inherit our environment use the Ray that is started meanwhile.

    Ray reads these variables when it is imported, so nothing may import it earlier.
    """
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _secret()}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _entered(arguments: dict[str, Any]) -> Any:
    """A task runner after `ray.init`, which takes SIGTERM for itself: the handler stays ours."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from prefect_ray import RayTaskRunner

    runner: Any = RayTaskRunner(init_kwargs=arguments)
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        return runner.__enter__()
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _leaving(runner: Any) -> Iterator[None]:
    import ray

    try:
        yield
    finally:
        try:
            runner.__exit__(None, None, None)
        finally:
            ray.shutdown()
