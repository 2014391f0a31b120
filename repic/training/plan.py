"""Everything that determines a training run, and its working folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from repic import config
from repic.config import Settings
from repic.models.vlm.load import Reader
from repic.training import sharding
from repic.training.rollouts import NAME as ROLLOUTS
from storage import jobs, parts
from storage.hashing import fingerprint
from storage.manifest import Manifest
from storage.store import Store

VERSION = 1
"""Version of training: raise it when the same run would give a different checkpoint."""


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines a run, and its working folder.

    Attributes:
        work: Folder of this run's own files, from which an interrupted run resumes.
        fingerprint: Of settings, examples, model, number of processes, and FSDP.
        rank: Of this process among `processes`.
    """

    settings: Settings
    store: Store
    examples: Manifest
    reader: Reader
    work: Path
    fingerprint: str
    rank: int
    processes: int

    @classmethod
    def create(
        cls,
        settings: Settings,
        store: Store,
        examples: Manifest,
        reader: Reader,
        work: Path | None = None,
    ) -> TrainingPlan:
        """The plan of a run; writes nothing.

        Args:
            work: Folder for all runs. By default in a local store, where gc knows it, or else in
                the cache.
        """
        from accelerate import PartialState

        state = PartialState(cpu=bool(settings.trainer.get("use_cpu")))
        run_fingerprint = fingerprint(
            {
                "version": VERSION,
                "settings": settings.record(config.TRAIN),
                "examples": examples.fingerprint,
                "model": reader.fingerprint,
                "processes": state.num_processes,
                # Checkpoints of the trainer are different ones, and sums have other roundings.
                **({"divided": True} if sharding.is_asked() else {}),
            }
        )
        if work is None:
            local = store.files.local
            work = (
                Path(store.files.full(jobs.FOLDER)) if local else config.cache_folder() / "training"
            )
        return cls(
            settings,
            store,
            examples,
            reader,
            work / run_fingerprint,
            run_fingerprint,
            state.process_index,
            state.num_processes,
        )

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files that only one process may write."""
        return self.rank == 0

    @property
    def output(self) -> Path:
        """Folder of the trainer's checkpoints."""
        return self.work / "trainer"

    @property
    def is_registered(self) -> bool:
        """Whether the files of earlier attempts remain; gc deletes them after some time."""
        return jobs.is_kept(self.store.files, self.fingerprint)

    def register(self) -> None:
        """Protect this run's folder and its rollouts from gc, from now on.

        Raises:
            storage.errors.StoreError: the store cannot be written.
        """
        train = self.settings.train
        description = f"{train.method.upper()} of {train.model} on {self.examples.ref}"
        rollouts = (parts.folder(ROLLOUTS, self.fingerprint),)
        jobs.keep(
            self.store.files,
            jobs.UnfinishedJob(id=self.fingerprint, what=description, keeps=rollouts),
        )

    def clean_up(self) -> None:
        """Delete the files that only an unfinished run needs."""
        if self.is_registered:
            jobs.end(self.store.files, self.fingerprint)
        shutil.rmtree(self.work, ignore_errors=True)
