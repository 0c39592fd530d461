"""A thin layer over obstore: bytes in and out of one place, with our errors and bounded retries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from mlk8s.errors import SpecError, StorageError
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.failures import ObjectNotFound, storage_error
from mlk8s.storage.location import Location

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_T = TypeVar("_T")

# A refused connection is told after about 1 s: 3 retries, 0.1 s doubling. `timeout` is of one request.
_CLIENT: ClientConfig = {"allow_http": True, "connect_timeout": "3s", "timeout": "60s"}
_RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


def _folder(place: Location) -> str:
    """Return the folder of a place; a pod's claims are mounted below PVC_DIR, by name.

    Raises:
        StorageError: the claim is not mounted.
    """
    if place.scheme == "file":
        return place.path
    root = Path(os.environ.get("PVC_DIR") or "/claims") / place.bucket
    if not root.is_dir():
        raise StorageError(
            f"The claim {place.bucket!r} is not mounted here.",
            where=str(place),
            expected=f"it at {root}: pvc:// is for the pods that mount the claim",
        )
    return f"{root}/{place.path}"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed object: key relative to the store's place, size in bytes, time of the last write (UTC)."""

    key: str
    size: int
    modified: datetime


class Store:
    """Objects below one place; keys are relative to it.

    Every method raises `ObjectNotFound`, `AccessDenied`, `StorageUnreachable` or another `StorageError`.
    """

    def __init__(self, url: str | Path | Location, config: StorageConfig | None = None) -> None:
        """Open a place; nothing is sent yet.

        Args:
            url: `s3://bucket/path`, `pvc://claim/path`, `file:///path` or a path.
            config: endpoint and keys; None reads the environment (S3 only).

        Raises:
            SpecError: the URL is malformed.
            StorageError: no credentials, or the claim is not mounted.
        """
        self.location = Location.parse(url)
        self._store: S3Store | LocalStore
        self._base = ""
        if self.location.scheme in ("file", "pvc"):
            self.endpoint = "this machine" if self.location.scheme == "file" else "this pod"
            self._store, self._base = LocalStore(), _folder(self.location).strip("/") + "/"
            return
        if self.location.scheme != "s3":
            raise SpecError(
                f"{self.location.scheme}:// is for reading.",
                where=str(self.location),
                expected="s3://, pvc://",
            )
        config = config or StorageConfig.from_env()
        self.endpoint = config.endpoint or f"AWS S3 in {config.region}"
        options = {
            "endpoint": config.endpoint,
            "access_key_id": config.access_key_id,
            "secret_access_key": config.secret_access_key,
            "session_token": config.session_token,
        }
        self._store = S3Store(
            self.location.bucket,
            prefix=self.location.path or None,
            region=config.region,
            client_options=_CLIENT,
            retry_config=_RETRY,
            **{name: value for name, value in options.items() if value is not None},
        )

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        return self._call("reading", key, lambda: bytes(obstore.get(self._store, self._base + key).bytes()))

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces of about 4 MiB, for what should not lie in memory whole."""
        result = self._call("reading", key, lambda: obstore.get(self._store, self._base + key))
        stream = iter(result.stream(min_chunk_size=4 << 20))
        while (piece := self._call("reading", key, lambda: next(stream, None))) is not None:
            yield bytes(piece)

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, whatever was there; a Path is read in pieces (multipart)."""
        self._call("writing", key, lambda: obstore.put(self._store, self._base + key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object only where none is (`If-None-Match: *`); False when one was there."""
        try:
            obstore.put(self._store, self._base + key, data, mode="create", use_multipart=False)
        except (AlreadyExistsError, FileExistsError):
            return False
        except (BaseError, OSError) as error:
            raise self._told(error, "writing", key) from None
        return True

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            self._call("reading", key, lambda: obstore.head(self._store, self._base + key))
        except ObjectNotFound:
            return False
        return True

    def objects(self, prefix: str = "") -> list[ObjectInfo]:
        """All objects below `prefix`, by key; empty where there is nothing, or no such bucket."""

        def collect() -> list[ObjectInfo]:
            pages = obstore.list(self._store, (self._base + prefix) or None, chunk_size=1000)
            found = [meta for page in pages for meta in page]
            return [ObjectInfo(m["path"][len(self._base) :], m["size"], m["last_modified"]) for m in found]

        try:
            return sorted(self._call("listing", prefix, collect), key=lambda info: info.key)
        except ObjectNotFound:
            return []

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for key in keys:
            try:
                self._call("deleting", key, lambda key=key: obstore.delete(self._store, self._base + key))  # type: ignore[misc]
            except ObjectNotFound:
                continue

    def _call(self, what: str, key: str, action: Callable[[], _T]) -> _T:
        try:
            return action()
        except (BaseError, OSError) as error:
            raise self._told(error, what, key) from None

    def _told(self, error: Exception, what: str, key: str) -> StorageError:
        place = f"{self.location}/{key}" if key else str(self.location)
        return storage_error(error, what, place, self.endpoint)
