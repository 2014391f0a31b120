"""What a person has to mend before or after a training run; every message names the remedy."""

from __future__ import annotations


class TrainError(Exception):
    """Something about training that trying again does not cure."""


class DataError(TrainError):
    """Rows that cannot be trained on."""


class PreflightError(TrainError):
    """Rows that must not be trained on; the message says which, why, and what to do."""


class ExportError(TrainError):
    """A merged model that does not answer as its adapter; it is not kept."""


class TrainingStoppedError(TrainError):
    """A guard ended the run; the message says why, and where its answers are.

    Attributes:
        checkpoint: The version that it left.
    """

    def __init__(self, message: str, checkpoint: str = "") -> None:
        super().__init__(message)
        self.checkpoint = checkpoint
