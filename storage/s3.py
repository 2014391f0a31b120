"""S3 and servers that speak its protocol, as a store needs them.

s3fs leaves errors of botocore as they are, reads the answer to a conditional put only as AWS words
it, and tries for minutes to reach a host that swallows packets. This subclass says all of these in
the words of a store.
"""

from __future__ import annotations

import asyncio
from typing import Any

from botocore import exceptions as boto
from s3fs import S3FileSystem

from storage.errors import StoreError, UnreachableError, without_conditions

FIRST_ANSWER = 20.0
"""Seconds until the first answer of an endpoint; a request that moves no content needs no more."""

ONLY_ASKS = {"head_object", "get_object", "list_objects_v2"}
"""Requests that send nothing, so that a slow line is no reason for a late answer."""

CONFLICTS = 5
"""How often a conditional put is tried that S3 answers with a conflict."""

_NO_ANSWER = (boto.ConnectionError, boto.HTTPClientError)
_NO_CREDENTIALS = (
    boto.CredentialRetrievalError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
)


class StoreS3FileSystem(S3FileSystem):
    """s3fs whose conditional puts and errors are those of a store."""

    answered = False
    """Whether the endpoint has answered this process."""

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        for attempt in range(1, CONFLICTS + 1):
            try:
                return await self._answer(method, *akwarglist, **kwargs)
            except boto.BotoCoreError as error:
                raise self._explained(error) from error
            except TimeoutError as error:
                raise self._unreachable(str(error) or "no answer") from error
            except PermissionError as error:
                raise self._refused(error) from error
            except OSError as error:
                status = _status(error)
                if "IfNoneMatch" not in kwargs or status not in (409, 412, 501):
                    raise
                if status == 501:
                    raise without_conditions(f"{self._address}/{kwargs['Bucket']}") from error
                if status == 412:
                    raise FileExistsError(kwargs["Key"]) from error
                if attempt == CONFLICTS:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    async def _answer(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        """The answer of the endpoint. The first one must come within FIRST_ANSWER."""
        within = None if self.answered or method not in ONLY_ASKS else FIRST_ANSWER
        try:
            async with asyncio.timeout(within):
                answer = await super()._call_s3(method, *akwarglist, **kwargs)
        except OSError as error:
            self.answered = self.answered or isinstance(error.__cause__, boto.ClientError)
            raise
        self.answered = True
        return answer

    def _explained(self, error: boto.BotoCoreError) -> StoreError:
        if isinstance(error, _NO_ANSWER):
            return self._unreachable(_clause(error))
        if isinstance(error, _NO_CREDENTIALS):
            return StoreError(
                f"There are no credentials for S3 ({_clause(error)}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
            )
        return StoreError(
            f"S3 cannot be used ({_clause(error)}): check the location of the store and the "
            "AWS_ variables."
        )

    def _unreachable(self, why: str) -> UnreachableError:
        return UnreachableError(
            f"S3 at {self._address} cannot be reached ({why}): check AWS_ENDPOINT_URL "
            "and the network, and run again; finished work is kept."
        )

    def _refused(self, error: PermissionError) -> StoreError:
        return StoreError(
            f"S3 at {self._address} refuses this ({_clause(error)}): check the credentials "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE), and what they may do."
        )

    @property
    def _address(self) -> str:
        return str(self._s3.meta.endpoint_url) if self._s3 is not None else "its endpoint"


def _status(error: OSError) -> int | None:
    """HTTP status of the answer that s3fs made this error of."""
    response = getattr(error.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status) if status else None


def _clause(error: Exception) -> str:
    """The words of an error, in one line, to stand in brackets."""
    return " ".join(str(error).split()).rstrip(".")
