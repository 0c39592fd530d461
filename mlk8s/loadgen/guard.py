"""Which hosts a load test may send to: this machine, the cluster's own ingress, and what its user owns."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from mlk8s.errors import UsageError


def check_target(url: str, allowed: Iterable[str] = (), *, own: str | None = None) -> str:
    """Return the host of `url` when load may go there; no name is looked up and no packet is sent.

    Args:
        url: base URL, http or https.
        allowed: hosts or addresses of the connected cluster's ingress.
        own: the host that the user says is theirs to load.

    Raises:
        UsageError: when the host is neither loopback nor in `allowed` nor `own`, or `own` names another one.
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
    permitted = [_plain(name) for name in allowed if name]
    if own is not None and _plain(own) != host:
        raise UsageError(
            f"{own!r} is not what would get the load: that is {host}",
            where=url,
            expected=f"{host}, exactly, where {host} is yours to load",
            next_step="leave own_target (--i-own-this-target) out for loopback and the cluster's own ingress",
        )
    if own is not None or _is_loopback(host) or host in permitted:
        return host
    raise UsageError(
        f"load is not sent to {host}",
        where=url,
        expected="a loopback address (127.0.0.1, ::1, localhost)"
        + (f" or the connected cluster's ingress ({', '.join(permitted)})" if permitted else ""),
        next_step="connect to the cluster that serves the model, and test through its ingress; or, where "
        f"{host} is yours to load, say so: own_target={host!r} (--i-own-this-target {host})",
    )


def _plain(name: str) -> str:
    """Return a host as urlsplit gives it: small letters, an IPv6 address without brackets, no last dot."""
    return name.lower().strip("[]").rstrip(".")


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
