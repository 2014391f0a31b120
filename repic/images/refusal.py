"""Why a picture cannot be used."""

from __future__ import annotations

import errno
from typing import Literal

Reason = Literal[
    "forbidden",  # an address that a data set may not name
    "missing",  # no such file, or no such row in the table
    "denied",  # the server does not give it to us: 401, 403
    "rate-limited",  # the server wants fewer requests: 429
    "unavailable",  # the server cannot be reached, is too slow, or fails: 503
    "unreadable",  # no permission, or an error of the disk
    "not-a-file",  # a directory, pipe, socket or device
    "link-loop",  # symbolic links that form a loop
    "changed",  # written to while it was read
    "empty",  # no bytes
    "too-large",  # more than MAX_BYTES
    "not-an-image",  # the content has no known image format
    "unsupported",  # an image format whose decoder is not installed
    "truncated",  # the end of the file is missing
    "corrupt",  # an image format, but the content cannot be decoded
    "too-many-pixels",  # a decompression bomb, or too large
    "too-small",  # a side is too short
    "aspect",  # too long and narrow for models
    "region",  # the requested region is outside of the picture
]
"""Reason of a refusal, the column `error` of the table `quarantine`."""


class ImageRefused(ValueError):  # noqa: N818 - a verdict, not a failure
    """A picture that cannot be used: `reason` is a code, `message` a text for users."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type[ImageRefused], tuple[Reason, str]]:
        return type(self), (self.reason, self.message)


SYSTEM_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
)
"""Errors of the machine, not of a picture: they end a build and are not a reason of a refusal."""


def of_os_error(error: OSError) -> ImageRefused:
    """The refusal for an error of the file system.

    Raises:
        OSError: the error itself, if it is one of the machine.
    """
    if error.errno in SYSTEM_ERRORS:
        raise error
    cause = error.strerror or str(error) or type(error).__name__
    if isinstance(error, IsADirectoryError):
        return ImageRefused("not-a-file", "it is a directory")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageRefused("missing", "there is no such file")
    if error.errno == errno.ELOOP:
        return ImageRefused("link-loop", "its symbolic link leads back to itself")
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return ImageRefused("not-a-file", "it is a pipe, socket or device")
    return ImageRefused("unreadable", f"it cannot be read: {cause}")
