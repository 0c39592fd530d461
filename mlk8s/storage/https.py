"""Reading versions from a web server: certificates checked, sizes, times and redirects bounded."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPResponse, HTTPSConnection
from urllib.parse import quote, urljoin, urlsplit

from mlk8s.errors import StorageError
from mlk8s.storage.failures import AccessDenied, ObjectNotFound, StorageUnreachable
from mlk8s.storage.location import Location

_CONNECT = 5.0  # seconds; also for the handshake
_SILENCE = 30.0  # seconds without a byte
_TRIES = 4
_FIRST_PAUSE = 0.2  # seconds before the second try; doubles
_REDIRECTS = 5
_WHOLE = 16 << 20  # bytes that are read into memory at most: a manifest
_PIECE = 1 << 20
_MOVED = (301, 302, 303, 307, 308)


class CertificateRefused(StorageError):
    """The server's certificate does not prove that it is the server."""


class HttpsStore:
    """Objects below one https:// address, to be read only.

    Every method raises `ObjectNotFound`, `AccessDenied`, `StorageUnreachable`, `CertificateRefused` or
    another `StorageError`.

    Args:
        place: the address; keys are relative to it.
        ca_pem: further authorities; None reads the file that HTTPS_CA_FILE in the environment names.
    """

    def __init__(self, place: Location, ca_pem: str | None = None) -> None:
        self.location = place
        self._context = ssl.create_default_context()
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        path = None if ca_pem is not None else os.environ.get("HTTPS_CA_FILE") or None
        if path is None and ca_pem is None:
            return
        try:
            self._context.load_verify_locations(cafile=path, cadata=ca_pem)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"The authority's certificates cannot be read: {getattr(error, 'strerror', None) or error}.",
                where=path or str(place),
                expected="PEM certificates",
            ) from None

    def get(self, key: str) -> bytes:
        """The object's bytes; at most 16 MiB."""
        url = self._url(key)
        pieces, size = [], 0
        for piece in self.chunks(key):
            pieces.append(piece)
            size += len(piece)
            if size > _WHOLE:
                raise StorageError(f"The answer has more than {_WHOLE >> 20} MiB.", where=url)
        return b"".join(pieces)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces of at most 1 MiB."""
        url = self._url(key)
        answer, connection = self._open(url)
        try:
            while piece := answer.read(_PIECE):
                yield piece
            if answer.length:  # fewer bytes than the header promised
                raise StorageUnreachable("The connection ended before the whole answer was there.", where=url)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(error, url) from None
        finally:
            connection.close()

    def _url(self, key: str) -> str:
        return f"https://{self.location.bucket}/{quote(self.location.path)}/{quote(key)}"

    def _open(self, url: str) -> tuple[HTTPResponse, HTTPSConnection]:
        """Ask until there is an answer that will not change: what is down, or too busy, is asked again."""
        pause = _FIRST_PAUSE
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._follow(url)
            except StorageUnreachable:
                if not left:
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError("every try returns or raises")

    def _follow(self, url: str) -> tuple[HTTPResponse, HTTPSConnection]:
        at = url
        for _ in range(_REDIRECTS + 1):
            answer, connection = self._ask(at)
            if answer.status == 200:
                return answer, connection
            target = answer.getheader("Location") if answer.status in _MOVED else None
            status, reason = answer.status, answer.reason
            connection.close()
            if target is None:
                raise _refused(status, reason, at)
            at = urljoin(at, target)
            if urlsplit(at).scheme != "https":
                raise StorageError(
                    f"The server redirects to {urlsplit(at).scheme}://, where nothing is certain.",
                    where=url,
                    expected="a redirect to https:// only",
                )
        raise StorageError(f"The server redirects more than {_REDIRECTS} times.", where=url)

    def _ask(self, url: str) -> tuple[HTTPResponse, HTTPSConnection]:
        parts = urlsplit(url)
        connection = HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_CONNECT, context=self._context
        )
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        try:
            connection.connect()
            connection.sock.settimeout(_SILENCE)
            connection.request("GET", path, headers={"Accept-Encoding": "identity"})
            return connection.getresponse(), connection
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise CertificateRefused(
                f"The certificate of {parts.hostname} is refused: {error.verify_message}.",
                where=_shown(url),
                next_step="renew it, or name the authority that signed it (model_ca, inputs_ca)",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unreachable(error, url) from None


def _shown(url: str) -> str:
    """Return the address without its query: where a server redirects to, that holds a signature."""
    return url.partition("?")[0]


def _refused(status: int, reason: str, url: str) -> StorageError:
    if status in (404, 410):
        return ObjectNotFound("There is no such object.", where=_shown(url))
    if status in (401, 403):
        return AccessDenied(f"The server refused reading: {status} {reason}.", where=_shown(url))
    if status == 429 or status >= 500:
        return StorageUnreachable(f"The server answered {status} {reason}.", where=_shown(url))
    return StorageError(f"The server answered {status} {reason}.", where=_shown(url), expected="200")


def _unreachable(error: Exception, url: str) -> StorageUnreachable:
    host = urlsplit(url).netloc
    if isinstance(error, socket.gaierror):
        return StorageUnreachable(f"The host {host} has no address.", where=_shown(url))
    if isinstance(error, TimeoutError):
        return StorageUnreachable(
            f"{host} did not answer in time.",
            where=_shown(url),
            next_step="check the address, and that network policies let this pod reach it",
        )
    if isinstance(error, ConnectionRefusedError):
        return StorageUnreachable(f"{host} refuses connections.", where=_shown(url))
    if isinstance(error, ssl.SSLError):
        return StorageUnreachable(f"{host} does not speak TLS: {error.reason or error}.", where=_shown(url))
    return StorageUnreachable(f"{host} cannot be read: {type(error).__name__}: {error}.", where=_shown(url))
