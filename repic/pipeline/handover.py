"""Shards for workers of a cluster: their inputs lie in the store, not in the message.

A scheduler would hold the inputs of all waiting shards in memory, and those of the stage `examples`
are some megabytes each. And a worker that reads them there sees this store, and not another one
that has the same path on its machine.
"""

from __future__ import annotations

import socket
import uuid
from dataclasses import dataclass

import pyarrow as pa

from repic.config import Settings, as_recorded
from repic.errors import ClusterError
from repic.images.fetch import ImageRefused
from repic.models.devices import ResolvedRuntime
from repic.pipeline.build import ShardResult, StageShard
from repic.pipeline.stages.prefetch import read_photo
from storage.errors import NotFoundError
from storage.files import TEMPORARY
from storage.parts import Part
from storage.store import Store


@dataclass(frozen=True)
class HandedShard:
    """A `StageShard` whose inputs are in the file `path` of the store."""

    stage: str
    settings: Settings
    store: str
    path: str
    earlier: tuple[Part, ...] = ()

    def read(self) -> StageShard:
        """The shard itself; called on a worker.

        Raises:
            ClusterError: this machine does not see the store.
        """
        try:
            data = Store.open(self.store).files.read(self.path)
        except (NotFoundError, FileNotFoundError) as error:
            raise ClusterError(
                f"The worker on {socket.gethostname()} does not see the store {self.store}: mount "
                "the same folder at the same path there, or keep the store on S3."
            ) from error
        with pa.ipc.open_stream(data) as stream:
            inputs = stream.read_all()
        return StageShard(self.stage, inputs, self.settings, self.store, self.earlier)


def hand_over(store: Store, shard: StageShard) -> HandedShard:
    """Put the inputs of a shard into the store, until `take_back`.

    What a killed build leaves there is a temporary file, which `repic gc` deletes.
    """
    path = f"{TEMPORARY}/inputs-{uuid.uuid4().hex}.arrow"
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, shard.inputs.schema, options=options) as stream:
        stream.write_table(shard.inputs)
    store.files.replace(path, sink.getvalue().to_pybytes(), lasting=False)
    settings = portable(shard.settings)
    return HandedShard(shard.stage, settings, store.location, path, shard.earlier)


def take_back(store: Store, path: str) -> None:
    """Delete the inputs of a shard that is complete."""
    store.files.discard(path)


def portable(settings: Settings) -> Settings:
    """The same settings for any machine, with the same fingerprints.

    Paths are absolute, and device and precision are those that `auto` means here. A GPU has no
    number: each worker sees one.
    """
    resolved = ResolvedRuntime.of(settings.runtime)
    device = resolved.device.partition(":")[0]
    runtime = settings.runtime.model_copy(
        update={"device": device, "precision": resolved.precision}
    )
    return as_recorded(settings).model_copy(update={"runtime": runtime})


def check_gone(result: ShardResult) -> None:
    """Check that photos that a worker could not read are gone here too.

    Otherwise the build would go on without them.

    Raises:
        ClusterError: a file can be read here, so its folder is missing on the worker.
    """
    for reject in result.gone:
        if reject.image_id is None or not reject.uri.startswith("file:"):
            continue
        try:
            read_photo(reject.uri, reject.image_id)
        except ImageRefused:
            continue
        raise ClusterError(
            f"A worker cannot read {reject.uri} ({reject.error}), which this machine can: mount "
            "the folder of the photos at the same path on every worker, or keep them on S3."
        )
