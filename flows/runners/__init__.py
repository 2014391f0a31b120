"""Where a build computes its shards: in threads of this process, or on a Dask or Ray cluster.

A shard is one task of Prefect in each case. On a cluster it goes to a worker process, which reads
its inputs from the store, loads each model once, and writes the result to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol

from repic.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture

    from repic.config import Settings

Kind = Literal["threads", "dask", "ray"]

PACKAGES = {"dask": ("prefect_dask", "distributed"), "ray": ("prefect_ray", "ray")}
"""Kind of cluster -> packages of the extra of this name."""


@dataclass(frozen=True)
class Choice:
    """What a build asks for.

    Attributes:
        address: Of a running cluster; without it, a local one is started for the build.
        workers: Processes of the local cluster.
    """

    runner: Kind = "threads"
    address: str | None = None
    workers: int | None = None

    def check(self) -> None:
        """Check it before anything starts.

        Raises:
            ConfigError: options that exclude each other, or an extra that is not installed.
        """
        if self.runner not in ("threads", *PACKAGES):
            raise ConfigError(f"there is no runner {self.runner!r}: choose threads, dask or ray")
        if self.runner == "threads" and (self.address or self.workers):
            raise ConfigError("an address, or a number of workers, needs the runner dask or ray")
        if self.address and self.workers:
            raise ConfigError(
                f"the cluster at {self.address} has its own workers: leave out their number"
            )
        if self.workers is not None and self.workers < 1:
            raise ConfigError("a local cluster needs one worker or more")
        missing = [name for name in PACKAGES.get(self.runner, ()) if not find_spec(name)]
        if missing:
            raise ConfigError(
                f"the runner {self.runner} needs the extra of this name, which is not installed: "
                f"pip install 'repic[{self.runner}]'"
            )


HERE = Choice()
"""In threads of this process."""


class Cluster(Protocol):
    """A cluster that this process uses.

    Attributes:
        slots: Shards that its workers compute at once, when it was asked.
    """

    slots: int

    def submit(
        self, task: Task[..., Any], parameters: dict[str, Any], uses_model: bool
    ) -> PrefectFuture[Any]:
        """Run a task on a worker; a model that wants a GPU on one that has it, alone on it."""

    def look(self, what: Callable[[], str | None]) -> list[str | BaseException | None]:
        """Call a function on every worker, or on every machine; what it returned or raised."""

    def explained(self) -> AbstractContextManager[None]:
        """Turn errors of the engine into errors that name the remedy. Raises: ClusterError."""


@contextmanager
def started(choice: Choice, settings: Settings) -> Iterator[Cluster]:
    """Connect to the cluster, or start a local one, which ends with this context.

    Raises:
        ClusterError: it cannot be reached, or has no GPU although the settings want one.
    """
    from repic.models.devices import ResolvedRuntime

    wants_gpu = ResolvedRuntime.of(settings.runtime).device.startswith("cuda")
    engine = import_module(f"flows.runners.{choice.runner}_cluster")
    if choice.address:
        opened = engine.connected(choice.address, wants_gpu)
    else:
        opened = engine.local(choice.workers or _workers(settings, wants_gpu), wants_gpu)
    with opened as cluster:
        yield cluster


def _workers(settings: Settings, wants_gpu: bool) -> int:
    """Processes of a local cluster: one for each GPU, else as many as have cores for a model."""
    from repic.models.devices import nvidia_gpu_count, usable_cores

    if wants_gpu:
        return max(1, nvidia_gpu_count())
    return max(1, usable_cores() // settings.runtime.threads)


def no_gpu(remedy: str) -> ClusterError:
    """The settings want a GPU, and no worker has one."""
    return ClusterError(f"No worker of the cluster has a GPU: {remedy}, or set runtime.device=cpu.")
