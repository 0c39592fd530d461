"""A JSON document sent to an address that the user gave."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from mlk8s.errors import ClusterError, UsageError

TIMEOUT = 5.0
"""Seconds for the whole answer."""


def check_url(url: str) -> str:
    """Return a webhook's address.

    Raises:
        UsageError: it is no http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"webhook {url!r}", expected="http://HOST/PATH or https://HOST/PATH")
    return url


def post(url: str, body: Any, *, timeout: float = TIMEOUT) -> int:
    """Send a document once, follow no redirect, and return the answer's status.

    Raises:
        ClusterError: nothing answered in time, or with a status of 400 and above; the address's path, which
            may be a secret, is not named.
    """
    import urllib3

    place = urlsplit(url).hostname
    try:
        answer = urllib3.request(
            "POST", url, body=orjson.dumps(body), headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(total=timeout), retries=False, redirect=False,
        )  # fmt: skip
    except urllib3.exceptions.HTTPError as error:
        raise ClusterError(
            f"the webhook could not be sent: {type(error).__name__}", where=str(place)
        ) from None
    if answer.status >= 400:
        raise ClusterError(f"the webhook was answered with status {answer.status}", where=str(place))
    return int(answer.status)
