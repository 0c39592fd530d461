"""Addresses of model and data versions, and what makes the bytes behind them certain."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import _DIGEST, dns_label
from mlk8s.spec.volume import ObjectName, dns_subdomain

_PATH = r"/[A-Za-z0-9._/=-]*[A-Za-z0-9._=-]"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_S3 = re.compile(rf"s3://{_BUCKET}{_PATH}")
_OTHER = re.compile(r"(?:pvc://[a-z0-9.-]+|https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)" + _PATH)
_IMAGE = re.compile("file://" + _PATH)
_FORMS = (
    "s3://BUCKET/PATH, pvc://CLAIM/PATH, https://HOST/PATH or file:///PATH of the image "
    "(such as s3://models/iris/1)"
)


def model_url(value: str) -> str:
    """Check the address of a version: the folder that holds its manifest.json.

    Raises:
        ValueError: with the four forms.
    """
    if not any(form.fullmatch(value) for form in (_S3, _OTHER, _IMAGE)):
        if value.startswith("http://"):
            raise ValueError("expected https://: what comes over http can be changed on its way")
        bucket = value.removeprefix("s3://").partition("/")[0]
        if value.startswith("s3://") and not re.fullmatch(_BUCKET, bucket):
            raise ValueError(f"bucket {bucket!r}: expected 3 to 63 lower-case letters, digits, '-' and '.'")
        raise ValueError(f"expected the address of a version, {_FORMS}")
    if scheme(value) == "s3":
        return value
    parts = urlsplit(value)
    if {".", ".."} & set(parts.path.split("/")) or "//" in parts.path:
        raise ValueError("expected a path without '.', '..' and empty parts")
    if parts.scheme == "pvc":
        dns_subdomain(parts.netloc)
    elif parts.scheme == "https":
        for label in (parts.hostname or "").split("."):
            dns_label(label)
        if parts.port == 0:  # a larger one than 65535 is refused by reading it
            raise ValueError("expected a port of 1 to 65535")
    return value


def data_url(value: str) -> str:
    """Check where a data set is written: object storage, or a claim.

    Raises:
        ValueError: it is no address, or one that can only be read.
    """
    if scheme(value) not in ("s3", "pvc"):
        raise ValueError("expected s3://BUCKET/DATASET or pvc://CLAIM/DATASET")
    return model_url(value)


def scheme(url: str) -> str:
    """Return s3, pvc, https or file."""
    return url.partition("://")[0]


def claim_of(url: str) -> str | None:
    """Return the claim of a pvc:// address; None for any other."""
    return urlsplit(url).netloc if scheme(url) == "pvc" else None


ModelUrl = Annotated[str, AfterValidator(model_url)]
DataUrl = Annotated[str, AfterValidator(data_url)]
Digest = Annotated[str, Field(pattern=_DIGEST.pattern + "$")]


class CaFile(Spec):
    """Certificates of an authority that the system does not know, for https:// addresses.

    Attributes:
        config_map, secret: name of the object that holds them, one of the two.
        key: in that object; PEM, one certificate or several.
    """

    config_map: ObjectName | None = None
    secret: ObjectName | None = None
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")] = "ca.crt"

    @model_validator(mode="after")
    def _one_object(self) -> CaFile:
        if (self.config_map is None) == (self.secret is None):
            raise ValueError("expected config_map or secret, one of the two")
        return self


class Input(Spec):
    """A data version that a job reads.

    Attributes:
        url: s3://, pvc:// or https:// of a version, the folder with its manifest.json.
        digest: sha256:... of the manifest; needed for pvc:// and https://, where no one else vouches for it.
    """

    url: ModelUrl
    digest: Digest | None = None

    @model_validator(mode="after")
    def _certain(self) -> Input:
        if self.digest is None and scheme(self.url) != "s3":
            raise ValueError(digest_needed(self.url))
        return self


def digest_needed(url: str) -> str:
    """Return the sentence for an address that needs a digest."""
    return (
        f"{url}: expected its digest too (sha256:... of its manifest.json, which upload_model and "
        "publish_dataset return): nothing else makes sure what is behind a "
        f"{scheme(url)}:// address"
    )
