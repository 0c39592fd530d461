"""How to reach object storage: endpoint, region and keys, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlk8s.errors import StorageError

# Where AWS' own credential chain (a role for a service account, a container) takes over.
_AWS_CHAIN = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Endpoint (None: AWS' own) and keys (None: AWS' credential chain); the secret is never shown."""

    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"

    def __post_init__(self) -> None:
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise StorageError(
                "The storage endpoint is no URL.",
                where=repr(self.endpoint),
                expected="http://HOST:PORT or https://HOST",
            )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> StorageConfig:
        """Read STORAGE_ENDPOINT and STORAGE_CREDENTIALS_DIR, else the AWS_* variables.

        STORAGE_CREDENTIALS_DIR is a mounted Secret with the files `access-key-id` and `secret-access-key`.

        Raises:
            StorageError: no credentials are there, or the mounted files cannot be read.
        """
        values = os.environ if env is None else env
        endpoint = (
            values.get("STORAGE_ENDPOINT")
            or values.get("AWS_ENDPOINT_URL_S3")
            or values.get("AWS_ENDPOINT_URL")
            or None
        )
        region = values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION") or "us-east-1"
        directory = values.get("STORAGE_CREDENTIALS_DIR")
        if directory:
            key, secret = (_read(Path(directory), name) for name in ("access-key-id", "secret-access-key"))
            return cls(endpoint, key, secret, region=region)
        env_key, env_secret = values.get("AWS_ACCESS_KEY_ID"), values.get("AWS_SECRET_ACCESS_KEY")
        if env_key and env_secret:
            return cls(endpoint, env_key, env_secret, values.get("AWS_SESSION_TOKEN") or None, region)
        if any(values.get(name) for name in _AWS_CHAIN):
            return cls(endpoint, region=region)
        raise StorageError(
            "There are no credentials for object storage.",
            where="the environment",
            expected="STORAGE_CREDENTIALS_DIR, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )


def _read(directory: Path, name: str) -> str:
    path = directory / name
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"The storage credentials cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}.",
            where=str(path),
            expected="a Secret with the keys access-key-id and secret-access-key",
        ) from None
    if not value:
        raise StorageError("The storage credentials are empty.", where=str(path))
    return value
