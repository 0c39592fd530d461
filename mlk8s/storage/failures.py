"""What obstore raises, told as a StorageError: what happened, at which endpoint, what to do."""

from __future__ import annotations

import re

from mlk8s.errors import StorageError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

_DENIED = {
    "InvalidAccessKeyId": "the access key is unknown there",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "ExpiredToken": "the session token has expired",
    "RequestTimeTooSkewed": "the clocks differ too much",
}


class ObjectNotFound(StorageError):
    """The object, or its bucket, is not there."""


class AccessDenied(StorageError):
    """Who asks is not known, or may not do it."""


class StorageUnreachable(StorageError):
    """No answer: refused, no such host, timeout."""


def storage_error(error: Exception, what: str, url: str, endpoint: str) -> StorageError:
    """Tell an exception of obstore as one of ours.

    Args:
        error: what obstore raised.
        what: what was being done, as a noun: `"reading"`.
        url: the object.
        endpoint: where requests go, for the reader.
    """
    text = str(error)
    code = match[1] if (match := _CODE.search(text)) else ""
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    if code == "NoSuchBucket":
        bucket = url.removeprefix("s3://").split("/", 1)[0]
        return ObjectNotFound(f"There is no bucket {bucket!r}.", where=f"{url} at {endpoint}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectNotFound("There is no such object.", where=f"{url} at {endpoint}")
    if (
        status in (401, 403)
        or isinstance(error, PermissionError)
        or "PermissionDenied" in type(error).__name__
    ):
        reason = _DENIED.get(code, code or "access denied")
        return AccessDenied(
            f"Object storage refused {what}: {reason}.",
            where=f"{url} at {endpoint}",
            next_step="check the credentials (STORAGE_CREDENTIALS_DIR or AWS_*) and what they may do",
        )
    if status:
        return StorageError(
            f"Object storage answered {what} with {status} {code}".rstrip() + ".",
            where=f"{url} at {endpoint}",
        )
    return _unreachable(text, what, url, endpoint)


def _unreachable(text: str, what: str, url: str, endpoint: str) -> StorageError:
    where = f"{endpoint} ({what} {url})"
    if "ConnectionRefused" in text:
        return StorageUnreachable(
            "Object storage refuses connections.",
            where=where,
            next_step="check that it runs and that the endpoint is right",
        )
    if "dns error" in text or "failed to lookup address" in text:
        return StorageUnreachable("The host of object storage has no address.", where=where)
    if re.search(r"TimedOut|timed ?out|Timeout", text):
        return StorageUnreachable(
            "Object storage did not answer in time.",
            where=where,
            next_step="check the endpoint, and that network policies let this pod reach it",
        )
    if "HTTP error" in text:
        return StorageUnreachable(
            "Object storage cannot be reached.", where=where, expected="an S3 endpoint that answers"
        )
    reason = text.split("\n\nDebug source", 1)[0].strip().replace("\n", " ")[:300]
    return StorageError(f"{what.capitalize()} failed: {reason}", where=f"{url} at {endpoint}")
