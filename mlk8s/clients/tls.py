"""TLS as a client: whom to trust, and what a server shows without being trusted yet."""

from __future__ import annotations

import http.client
import os
import ssl
from pathlib import Path

from mlk8s.errors import UsageError


def context(ca: str | os.PathLike[str] | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """Return a client's TLS context.

    Args:
        ca: PEM file of the authorities to trust; None means the machine's.
        verify: False trusts anybody: for looking only, never for data.

    Raises:
        UsageError: the file cannot be read, or has no certificate.
    """
    if not verify:
        open_to_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        open_to_all.check_hostname = False
        open_to_all.verify_mode = ssl.CERT_NONE
        return open_to_all
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(Path(ca).expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the authority's certificate cannot be read: {error.strerror or error}",
            where=str(ca),
            expected="a PEM file with at least one certificate",
        ) from None


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
        secure = context(verify=False).wrap_socket(self.sock, server_hostname=self._name)
        shown = secure.getpeercert(binary_form=True)
        self.certificate = ssl.DER_cert_to_PEM_cert(shown).encode() if shown else b""
        self.sock = secure
