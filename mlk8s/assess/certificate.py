"""Whether a TLS certificate serves a host: names, dates, key."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def certificate_names(pem: bytes) -> tuple[str, ...]:
    """Return the DNS names of a PEM certificate: its subjectAltName; a common name does not count (RFC 6125).

    Raises:
        ValueError: it is no PEM certificate.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))


def covers(names: tuple[str, ...], host: str) -> bool:
    """Return whether one of the names is the host's: the same, or a wildcard for its first label."""
    host = host.lower()
    parent = host.partition(".")[2]
    return any(name.lower() in (host, f"*.{parent}") for name in names)


def certificate_faults(pem: bytes, key: bytes, host: str | None, now: datetime.datetime) -> list[str]:
    """Return what is wrong with a certificate and its key, one sentence each; empty when they can be used.

    Args:
        pem: certificate chain, the server's own first.
        key: its private key, PEM, not encrypted.
        host: name that it has to be valid for; None asks for none.
        now: the time, with its zone.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return ["the certificate is not PEM (-----BEGIN CERTIFICATE-----)"]
    faults = []
    if now < certificate.not_valid_before_utc:
        faults.append(
            f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )
    if now >= certificate.not_valid_after_utc:
        faults.append(f"the certificate expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    names = certificate_names(pem)
    if host is not None and not covers(names, host):
        faults.append(f"the certificate is for {', '.join(names) or 'no DNS name'}, not for {host}")
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError:
        return [*faults, "the key is encrypted; a controller cannot ask for its password"]
    except ValueError:
        return [*faults, "the key is not a PEM private key"]
    if _public(private.public_key()) != _public(certificate.public_key()):
        faults.append("the key does not belong to the certificate")
    return faults


def _public(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form))  # type: ignore[attr-defined]
