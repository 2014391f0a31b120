"""Every error that the user can fix, in one place.

The command line prints such an error as one sentence and exits with 2, and flows do not retry it.
Messages name the cause and the remedy. Errors of the store are `storage.errors.StoreError`; catch
`FIXABLE` to get both.
"""

from __future__ import annotations

from storage.errors import StoreError


class RepicError(Exception):
    """Base of all errors that the user can fix."""


class ConfigError(RepicError, ValueError):
    """A setting that does not exist, or a value that it cannot have."""


class PluginError(RepicError, RuntimeError):
    """An installed package that registers something for RePIC which cannot be used."""


class SchemaError(RepicError, ValueError):
    """Rows that do not fit the schema of their table."""


class SourceError(RepicError, ValueError):
    """A source of photos that does not exist, is empty, or cannot be read."""


class WeightsError(RepicError, FileNotFoundError):
    """Model weights that are missing or unreadable."""

    def __str__(self) -> str:
        return str(self.args[0])


class DeviceError(RepicError, RuntimeError):
    """A device that this machine does not have, or that cannot do what is asked of it."""


class PictureError(RepicError, ValueError):
    """A picture of a row that can no longer be read from where it was."""


class QuarantineError(RepicError, ValueError):
    """Too many files were rejected to publish the rest."""


class ShrinkError(RepicError, ValueError):
    """A build that lost most of the rows or photos of the last version, or all of an objective."""


class StalledError(RepicError, TimeoutError):
    """A run of a flow that did nothing for too long."""


class ForgetError(RepicError, ValueError):
    """Something to forget that is not clear, or that cannot be deleted yet."""


class RowError(RepicError, ValueError):
    """An example that cannot be scored, because a column is missing or has a wrong value."""


class CaptionError(RepicError, ValueError):
    """Captions, or the photos and names they belong to, that cannot be evaluated."""


class SuiteError(CaptionError):
    """An evaluation suite whose folder is missing or incomplete."""


class CaptionServerError(CaptionError):
    """A captioning server that does not answer, or answers with an error."""


class TrainError(RepicError):
    """A problem with training that a retry does not solve."""


class DataError(TrainError):
    """Rows that cannot be trained on."""


class PreflightError(TrainError):
    """Rows that must not be trained on; the message says which, and why."""


class ExportError(TrainError):
    """A merged model that answers differently from its adapter; it is deleted."""


class TargetError(RepicError, ValueError):
    """A folder or a target of an export that cannot be written, or read back."""


class TrainingStoppedError(TrainError):
    """A guard stopped the run; the message says why.

    Attributes:
        checkpoint: The checkpoint version that the run published, as `checkpoint@v3`.
    """

    def __init__(self, message: str, checkpoint: str = "") -> None:
        super().__init__(message)
        self.checkpoint = checkpoint


class PrefectServerError(RepicError):
    """A Prefect server that cannot be reached or started."""


class ClusterError(RepicError):
    """A Dask or Ray cluster that cannot be used, or a worker of it that lacks something."""


FIXABLE = (RepicError, StoreError)
"""What the command line explains in one sentence, and flows do not retry."""
