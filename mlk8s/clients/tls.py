"""TLS as a client: whom to trust, and what a server shows without being trusted yet."""

from __future__ import annotations

import http.client
import os
import ssl
from pathlib import Path

from mlk8s.errors import UsageError


def context(ca: str | os.PathLike[str] | None = None) -> ssl.SSLContext:
    """Return a client's TLS context.

    Args:
        ca: PEM file of the authorities to trust; None means the machine's.

    Raises:
        UsageError: the file cannot be read, or has no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(Path(ca).expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the authority's certificate cannot be read: {error.strerror or error}",
            where=str(ca),
            expected="a PEM file with at least one certificate",
        ) from None


def first_seen(address: str, port: int | None, name: str) -> ssl.SSLContext:
    """Return a context that trusts the certificate shown now and no other: for looking only, never for data.

    Where nothing answers it is the ordinary one.
    """
    connection = Looking(address, port, name, 3.0)
    try:
        connection.connect()
        found = ssl.create_default_context(cadata=connection.certificate.decode())
    except (OSError, ValueError):
        return context()
    finally:
        connection.close()
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return found


class Looking(http.client.HTTPSConnection):
    """An HTTPS connection that asks for a host by name (SNI) and shows its certificate, trusted or not.

    Args:
        address, port: where to connect.
        name: the host that is asked for.
        timeout: seconds.
    """

    def __init__(self, address: str, port: int | None, name: str, timeout: float) -> None:
        super().__init__(address, port, timeout=timeout)
        self._name = name
        self.certificate = b""

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        secure = anybody.wrap_socket(self.sock, server_hostname=self._name)
        shown = secure.getpeercert(binary_form=True)
        self.certificate = ssl.DER_cert_to_PEM_cert(shown).encode() if shown else b""
        self.sock = secure
