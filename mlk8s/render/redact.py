"""Manifests as they may be shown: a Secret's values are not."""

from __future__ import annotations

from collections.abc import Iterable

from mlk8s.render.common import Manifest
from mlk8s.secrecy import REDACTED


def redacted(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the manifests with the values of Secrets replaced."""
    return [_without_values(item) if item.get("kind") == "Secret" else item for item in manifests]


def _without_values(secret: Manifest) -> Manifest:
    hidden: Manifest = {
        field: dict.fromkeys(secret[field], REDACTED) for field in ("data", "stringData") if field in secret
    }
    return {**secret, **hidden}
