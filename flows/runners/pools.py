"""Pools that compute the shards of a build: a task of Prefect for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from flows import runners
from flows.common import opaque
from flows.runners.worker import check
from repic.pipeline import handover
from repic.pipeline.build import ShardResult, StageShard
from repic.pipeline.handover import HandedShard
from storage.store import Store

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture

    from repic.config import Settings

SHARDS_WAITING = 256
"""Most shards that are submitted and not complete, unless a cluster computes more at once."""


class Pool(Protocol):
    """Computes shards.

    Attributes:
        waiting: Most shards that may be submitted and not complete.
    """

    @property
    def waiting(self) -> int: ...

    def submit(self, shard: StageShard, *of: Any) -> Callable[[], ShardResult]:
        """Start to compute a shard; a function that waits for its result.

        Args:
            of: Further arguments of the task: its number, how many there are, and whether it uses
                a model.
        """


@dataclass(frozen=True)
class ThreadPool:
    """The task runner of the flow: threads of this process."""

    task: Task[..., ShardResult]
    waiting: int = SHARDS_WAITING

    def submit(self, shard: StageShard, *of: Any) -> Callable[[], ShardResult]:
        """Start to compute a shard in a thread."""
        return self.task.submit(opaque(shard), *of).result


@dataclass
class ClusterPool:
    """Workers of a Dask or Ray cluster, which is started or joined for the first shard."""

    task: Task[..., ShardResult]
    choice: runners.Choice
    settings: Settings
    store: Store
    stack: ExitStack
    _handed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stack.callback(self._take_back_all)

    @cached_property
    def cluster(self) -> runners.Cluster:
        """The cluster, all of whose workers can build into the store."""
        cluster = self.stack.enter_context(runners.started(self.choice, self.settings))
        with cluster.explained():
            check(cluster, self.store.location)
        return cluster

    @property
    def waiting(self) -> int:
        return max(SHARDS_WAITING, 2 * self.cluster.slots)

    def submit(self, shard: StageShard, *of: Any) -> Callable[[], ShardResult]:
        """Start to compute a shard on a worker; its inputs go through the store."""
        handed = handover.hand_over(self.store, shard)
        self._handed.add(handed.path)
        number, total, uses_model = of
        parameters = {"shard": handed, "number": number, "total": total}
        with self.cluster.explained():
            future = self.cluster.submit(
                self.task, {**parameters, "uses_model": uses_model}, uses_model
            )
        return partial(self._result, future, handed)

    def _result(self, future: PrefectFuture[ShardResult], handed: HandedShard) -> ShardResult:
        with self.cluster.explained():
            result = future.result()
        handover.check_gone(result)
        self._take_back(handed.path)
        return result

    def _take_back(self, path: str) -> None:
        self._handed.discard(path)
        handover.take_back(self.store, path)

    def _take_back_all(self) -> None:
        """After the end of the cluster, or of our part in it: also of shards that have failed."""
        for path in tuple(self._handed):
            self._take_back(path)


@contextmanager
def opened(
    choice: runners.Choice, settings: Settings, store: Store, task: Task[..., ShardResult]
) -> Iterator[Pool]:
    """The pool that a build asks for; a local cluster ends with this context."""
    if choice.runner == "threads":
        yield ThreadPool(task)
        return
    with ExitStack() as stack:
        pool = ClusterPool(task, choice, settings, store, stack)
        if choice.address:
            _ = pool.cluster
        yield pool
