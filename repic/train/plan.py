"""A run before it runs: what decides it, where it works, and who watches."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from repic.config.paths import cache_folder
from repic.config.train import Training
from repic.models.vlm.load import Reader
from repic.train.rollouts import NAME as ROLLOUTS
from storage import jobs, parts
from storage.hashing import fingerprint
from storage.manifest import Manifest
from storage.store import Store

VERSION = 1
"""Raised by hand when the same run would give another checkpoint."""


class Watch(Protocol):
    """Who wants to know how a run goes on."""

    def phase(self, name: str, total: int) -> None:
        """Something begins that has so many parts."""

    def tick(self, done: int = 1) -> None:
        """Parts of it are done."""

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """The trainer logged a step."""

    def say(self, sentence: str) -> None:
        """Something that a person should know."""


class Silent:
    """Nobody watches."""

    def phase(self, name: str, total: int) -> None:
        """Something begins."""

    def tick(self, done: int = 1) -> None:
        """Parts of it are done."""

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """The trainer logged a step."""

    def say(self, sentence: str) -> None:
        """Something that a person should know."""


@dataclass(frozen=True)
class Plan:
    """All that decides a run, and where it works.

    Attributes:
        work: Folder of this run's own files, which a resume finds again.
        fingerprint: Of settings, examples, model and number of processes.
        rank: Of this process among `processes`.
    """

    settings: Training
    store: Store
    examples: Manifest
    reader: Reader
    work: Path
    fingerprint: str
    rank: int
    processes: int

    @classmethod
    def of(
        cls,
        settings: Training,
        store: Store,
        examples: Manifest,
        reader: Reader,
        work: Path | None = None,
    ) -> Plan:
        """The plan of these; nothing is made.

        Args:
            work: Folder for all runs; by default in the store if that is local, where gc knows it,
                else the cache.
        """
        from accelerate import PartialState

        state = PartialState(cpu=bool(settings.trainer.get("use_cpu")))
        made = fingerprint(
            {
                "version": VERSION,
                "settings": settings.model_dump(mode="json"),
                "examples": examples.fingerprint,
                "model": reader.fingerprint,
                "processes": state.num_processes,
            }
        )
        if work is None:
            local = store.files.local
            work = Path(store.files.full(jobs.FOLDER)) if local else cache_folder() / "training"
        return cls(
            settings,
            store,
            examples,
            reader,
            work / made,
            made,
            state.process_index,
            state.num_processes,
        )

    @property
    def is_main(self) -> bool:
        """Whether this process writes what only one may write."""
        return self.rank == 0

    @property
    def output(self) -> Path:
        """Folder of the trainer's checkpoints."""
        return self.work / "trainer"

    @property
    def kept(self) -> bool:
        """Whether what earlier attempts of this run left is still there; gc gives it up one day."""
        return jobs.is_kept(self.store.files, self.fingerprint)

    def keep(self) -> None:
        """Have gc leave this run's folder and its answers alone: somebody is at it.

        Raises:
            storage.errors.StoreError: the store cannot be written.
        """
        train = self.settings.train
        what = f"{train.method.upper()} of {train.model} on {self.examples.ref}"
        kept = (parts.folder(ROLLOUTS, self.fingerprint),)
        job = jobs.Job(id=self.fingerprint, what=what, keeps=kept)
        jobs.keep(self.store.files, job)

    def end(self) -> None:
        """Remove what only an unfinished run needs."""
        if self.kept:
            jobs.end(self.store.files, self.fingerprint)
        shutil.rmtree(self.work, ignore_errors=True)
