"""Which hosts a load test may send to: this machine, and the connected cluster's own ingress."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from mlk8s.errors import UsageError


def check_target(url: str, allowed: Iterable[str] = ()) -> str:
    """Return the host of `url` when load may go there; no name is looked up and no packet is sent.

    Args:
        url: base URL, http or https.
        allowed: hosts or addresses of the connected cluster's ingress.

    Raises:
        UsageError: when the host is neither loopback nor in `allowed`.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        parts.port  # noqa: B018  # urlsplit checks the port only when it is read
    except ValueError as error:
        raise UsageError(f"not a URL: {error}", where=url, expected="http://HOST:PORT/...") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError("not an HTTP URL", where=url, expected="http://HOST:PORT/...")
    if parts.username or parts.password:
        raise UsageError("a URL with credentials is not accepted", where=f"{parts.scheme}://…@{host}")
    permitted = [name.lower().strip("[]") for name in allowed if name]
    if _is_loopback(host) or host in permitted:
        return host
    raise UsageError(
        f"load is not sent to {host}",
        where=url,
        expected="a loopback address (127.0.0.1, ::1, localhost)"
        + (f" or the connected cluster's ingress ({', '.join(permitted)})" if permitted else ""),
        next_step="connect to the cluster that serves the model, and test through its ingress",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host.split("%")[0])
    except ValueError:
        return False
    # ::ffff:10.0.0.1 is an IPv4 address in another coat; is_loopback looks under it only in later Pythons.
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
