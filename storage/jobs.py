"""Unfinished jobs: files that an interrupted job needs to resume, protected from gc.

A build recomputes parts that gc removed. A job that resumes from its own files cannot, so it
keeps a folder `unfinished/<id>/` whose `job.json` describes the job and lists further folders that
it needs. gc leaves these folders alone until the job has not been resumed for `EXPIRY`; then it
removes `job.json` first, since the other files are useless without it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from pydantic import AwareDatetime, Field

from storage import documents
from storage.documents import Frozen
from storage.errors import DamagedError, StoreError
from storage.files import Files
from storage.manifest import Path

FOLDER = "unfinished"
CARD = "job.json"
EXPIRY = timedelta(days=30)
"""gc removes a job that was not resumed for this long."""


class UnfinishedJob(Frozen):
    """A job that was started and has not ended.

    Attributes:
        what: Description for the user.
        keeps: Further folders of the store that it needs.
        touched: Time when it last started or wrote a checkpoint.
    """

    id: str
    what: str
    keeps: tuple[Path, ...] = ()
    touched: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def card(self) -> str:
        """Path of its `job.json`."""
        return f"{folder(self.id)}/{CARD}"

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders that gc leaves alone for it."""
        return folder(self.id), *self.keeps

    def holds(self, path: str) -> bool:
        """Whether a file of the store is in one of these folders."""
        return any(path.startswith(f"{kept}/") for kept in self.folders)


def folder(id: str) -> str:
    """Folder of a job. Raises: StoreError: the id is not a hash."""
    if not id.isalnum():
        raise StoreError(f"A job needs a hash as its id, not {id!r}.")
    return f"{FOLDER}/{id}"


def is_card(path: str) -> bool:
    """Whether a path is the `job.json` of a job."""
    return PurePosixPath(f"/{path}").match(f"/{FOLDER}/*/{CARD}")


def keep(files: Files, job: UnfinishedJob) -> None:
    """Register a job, or update its `touched` time.

    Raises:
        StoreError: no space, no permission.
    """
    files.replace(job.card, job.model_dump_json().encode())


def find(files: Files) -> list[UnfinishedJob]:
    """All jobs that have not ended, in order of their ids.

    Raises:
        StoreError: one cannot be read, so that it is unknown which folders it keeps.
    """
    jobs = []
    for path in sorted(files.find(FOLDER)):
        if is_card(path):
            try:
                job = documents.read(files, path, UnfinishedJob)
            except FileNotFoundError:  # it ended meanwhile
                continue
            except DamagedError as error:
                raise _unreadable(files, path) from error
            if path != f"{FOLDER}/{job.id}/{CARD}":
                raise _unreadable(files, path)
            jobs.append(job)
    return jobs


def _unreadable(files: Files, path: str) -> StoreError:
    return StoreError(
        f"{files.full(path)} cannot be read, so it is unknown which files its job needs: make it "
        "readable, or delete it if the job need not be resumed."
    )


def is_kept(files: Files, id: str) -> bool:
    """Whether a job is registered: it was started, has not ended, and gc has not removed it."""
    try:
        files.read(f"{folder(id)}/{CARD}")
    except FileNotFoundError:
        return False
    return True


def end(files: Files, id: str) -> None:
    """Remove a job and its folder; its other folders become garbage.

    Raises:
        StoreError: no permission.
    """
    files.remove(f"{folder(id)}/{CARD}")
    for path in files.find(folder(id)):
        files.remove(path)
