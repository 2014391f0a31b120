"""Unfinished work: what a long job leaves when it dies, and needs when it is started again.

A build that was killed computes again what gc took. A job that goes on from files of its own
cannot, so it keeps a folder `unfinished/<id>/`, in which `job.json` says what it is, and which
other folders of the store it needs. gc takes nothing of these until nobody has gone on with the job
for `FORGOTTEN`. It takes `job.json` first: without it the rest means nothing any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from pydantic import Field

from storage.errors import StoreError
from storage.files import Files
from storage.manifest import Frozen

FOLDER = "unfinished"
CARD = "job.json"
FORGOTTEN = timedelta(days=30)
"""A job that nobody has gone on with for so long is given up."""


class UnfinishedJob(Frozen):
    """A job that was begun and has not ended.

    Attributes:
        what: It is, for a person.
        keeps: Other folders of the store that it needs.
        touched: When somebody last worked on it.
    """

    id: str
    what: str
    keeps: tuple[str, ...] = ()
    touched: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def card(self) -> str:
        """Path of the file that says all this."""
        return f"{folder(self.id)}/{CARD}"

    @property
    def folders(self) -> tuple[str, ...]:
        """All that gc leaves alone for it."""
        return folder(self.id), *self.keeps

    def holds(self, path: str) -> bool:
        """Whether a file of the store is in one of its folders."""
        return any(path.startswith(f"{kept}/") for kept in self.folders)


def folder(id: str) -> str:
    """Raises: StoreError."""
    if not id.isalnum():
        raise StoreError(f"A job needs a hash as its id, not {id!r}.")
    return f"{FOLDER}/{id}"


def is_card(path: str) -> bool:
    """Whether a file of the store says what a job is."""
    return PurePosixPath(f"/{path}").match(f"/{FOLDER}/*/{CARD}")


def keep(files: Files, job: UnfinishedJob) -> None:
    """Begin a job, or say that somebody is at it.

    Raises:
        StoreError: no space, no permission.
    """
    files.replace(job.card, job.model_dump_json().encode())


def find(files: Files) -> list[UnfinishedJob]:
    """All jobs that have not ended, in order of their ids."""
    jobs = []
    for path in sorted(files.find(FOLDER)):
        if is_card(path):
            try:
                jobs.append(UnfinishedJob.model_validate_json(files.read(path)))
            except FileNotFoundError:  # it ended while we look
                continue
    return jobs


def is_kept(files: Files, id: str) -> bool:
    """Whether what a job has kept is all there: it was begun, has not ended, and gc left it."""
    try:
        files.read(f"{folder(id)}/{CARD}")
    except FileNotFoundError:
        return False
    return True


def end(files: Files, id: str) -> None:
    """Remove a job with its folder; what else it kept is garbage from now on.

    Raises:
        StoreError: no permission.
    """
    files.remove(f"{folder(id)}/{CARD}")
    for path in files.find(folder(id)):
        files.remove(path)
