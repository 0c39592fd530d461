"""Where an image is: REGISTRY/REPOSITORY[:TAG][@DIGEST]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlk8s.errors import UsageError

# https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """One image of one registry.

    Attributes:
        registry: HOST[:PORT].
        repository: path below it.
        tag, digest: either, both or none.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference; the registry is always named, there is no default one.

        Raises:
            UsageError: not of the form.
        """
        rest, at, digest = text.partition("@")
        registry, slash, path = rest.partition("/")
        repository, colon, tag = path.partition(":")
        right = (
            slash
            and ("." in registry or ":" in registry or registry == "localhost")
            and _REPOSITORY.fullmatch(repository)
            and (not colon or _TAG.fullmatch(tag))
            and (not at or _DIGEST.fullmatch(digest))
        )
        if not right:
            raise UsageError(
                f"{text!r} is not the address of an image",
                expected="REGISTRY/REPOSITORY[:TAG], such as registry.example.com/team/iris:1, in lower case",
                next_step="the registry's host is part of it: localhost:5000/iris:1, not iris:1",
            )
        return cls(registry, repository, tag or None, digest or None)

    @property
    def name(self) -> str:
        """REGISTRY/REPOSITORY."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
