"""Checked field types: the limits Kubernetes sets on names, quantities, ports and durations."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from mlk8s.spec.quantity import parse_quantity as parse_quantity

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def dns_label(value: str, *, longest: int = 63) -> str:
    """Check a DNS-1123 label (RFC 1123, as Kubernetes applies it): at most `longest` characters.

    Raises:
        ValueError: with the expected form.
    """
    if len(value) > longest or not _LABEL.fullmatch(value):
        raise ValueError(
            f"expected a DNS-1123 label: lower-case letters, digits and '-', starting and ending with "
            f"a letter or digit, at most {longest} characters"
        )
    return value


def parse_duration(value: str | int | float) -> float:
    """Return a duration in seconds; '1m30s', '250ms', '2h' or a number of seconds.

    Raises:
        ValueError: when the text is not a duration or is negative.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip()
        found = _DURATION.fullmatch(f"{text}s" if re.fullmatch(r"\d+(\.\d+)?", text) else text)
        if not found or not any(found.groups()):
            raise ValueError("expected a duration such as '30s', '1m30s', '250ms' or a number of seconds")
        hours, minutes, whole, millis = (float(part or 0) for part in found.groups())
        seconds = hours * 3600 + minutes * 60 + whole + millis / 1000
    if not 0 <= seconds < float("inf"):
        raise ValueError("expected a duration of zero or more seconds")
    return seconds


def _quantity(value: object) -> str:
    text = str(value).strip()
    if parse_quantity(text) < 0:
        raise ValueError("expected a quantity of zero or more")
    return text


def _label_map(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(f"label key {key!r}: expected [prefix/]name, the name at most 63 characters")
        if not _LABEL_VALUE.fullmatch(text):
            raise ValueError(f"label value {text!r} of {key!r}: expected at most 63 letters, digits, '-_.'")
    return value


def _cookie(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("expected a cookie's name: letters, digits, _ and -, at most 64 characters")
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", value):
        raise ValueError("expected an HTTP header name (RFC 9110 token), at most 64 characters")
    return value


def image_name(value: str) -> str:
    """Check a container image reference: it names a tag or a digest, and the tag is not `latest`."""
    path, at, digest = value.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError("expected the digest of an image as @sha256: and 64 hexadecimal digits")
    name, colon, tag = path.rpartition(":")
    tagged = bool(colon) and "/" not in tag
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?", name if tagged else path):
        raise ValueError("expected an image reference such as registry/repository:tag")
    if not at and (not tagged or tag == "latest"):
        raise ValueError(
            "expected an image with a fixed tag or a digest; 'latest' changes under a running service"
        )
    return value


def _short_label(value: str) -> str:
    return dns_label(value, longest=50)


Name = Annotated[str, AfterValidator(_short_label)]
"""Name of a declared object: a DNS-1123 label of at most 50 characters, so that suffixes still fit in 63."""
Namespace = Annotated[str, AfterValidator(dns_label)]
Quantity = Annotated[str, BeforeValidator(_quantity)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Labels = Annotated[dict[str, str], AfterValidator(_label_map)]
HeaderName = Annotated[str, AfterValidator(_header)]
CookieName = Annotated[str, AfterValidator(_cookie)]
Weight = Annotated[int, Field(ge=0, le=100, strict=True)]
"""Share of traffic in percent, 0 to 100."""
Port = Annotated[int, Field(ge=1, le=65535)]
Image = Annotated[str, AfterValidator(image_name)]
