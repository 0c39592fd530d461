"""TLS for the load generator: the certificate is checked for the service's host, not for the address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.ssl import PROTOCOL_TLS_CLIENT, SSLContext


class _Named(SSLContext):  # type: ignore[misc]  # gevent has no types
    """A context that asks every server for one name (SNI) and wants a certificate for it."""

    name = ""

    def wrap_socket(self, sock: Any, **options: Any) -> Any:
        """Wrap a socket, whatever name the address had."""
        return super().wrap_socket(sock, **options | {"server_hostname": self.name})


def context_factory(name: str, ca: str | None) -> Callable[..., Any]:
    """Return what Locust's client makes its TLS contexts with.

    Args:
        name: host that is asked for.
        ca: PEM file of the authorities to trust; None means the machine's.
    """

    def make(**_: Any) -> Any:  # the client offers authorities of its own
        made = _Named(PROTOCOL_TLS_CLIENT)
        made.name = name
        if ca is None:
            made.load_default_certs()
        else:
            made.load_verify_locations(cafile=ca)
        return made

    return make
