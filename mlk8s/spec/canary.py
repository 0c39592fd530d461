"""A second version beside the first, and the share of traffic it gets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import CookieName, HeaderName, Weight
from mlk8s.spec.urls import Digest, ModelUrl


class Canary(Spec):
    """A new model version that gets part of a service's traffic.

    Attributes:
        model: s3://, pvc:// or https:// of the new version.
        digest: sha256:... of its manifest; filled in like ModelService.digest.
        weight: percent of the requests, 0 to 100.
        header: name of a request header; `always` leads to the canary, `never` away from it, at any weight.
        cookie: name of a cookie by which a client stays with the version that answered it first, and with
            its pod; the weight is then a share of the new clients. The header decides before the cookie.
        replicas: pods of the canary.
    """

    model: ModelUrl
    digest: Digest | None = None
    weight: Weight = 0
    header: HeaderName | None = None
    cookie: CookieName | None = None
    replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
