"""Certificates for the way in: checked before they are written, and made by oneself for trying out."""

from __future__ import annotations

import base64
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from mlk8s.assess.certificate import certificate_faults, certificate_names
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Forbidden, NotFound, Rejected, UsageError
from mlk8s.operations.apply import refuse_foreign
from mlk8s.render.common import MANAGED_BY, MANAGER, NAME, Manifest
from mlk8s.spec.route import dns_name

TYPE = "kubernetes.io/tls"
CERTIFICATE, KEY = "tls.crt", "tls.key"


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Certificate for {', '.join(certificate_names(self.certificate))}"


def self_signed(host: str, *, days: int = 30) -> Certificate:
    """Make a certificate for one host that is its own authority: for trying out, trusted by nobody unasked.

    Args:
        host: DNS name, or *.NAME.
        days: until it expires, 1 to 825.

    Raises:
        UsageError: not a DNS name, or another number of days.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    try:
        dns_name(host.removeprefix("*."))
    except ValueError as error:
        raise UsageError(str(error), where=f"host {host!r}") from None
    if not 1 <= days <= 825:
        raise UsageError(f"{days} days", expected="1 to 825 days")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    unused = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **unused
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM), private)


def create_tls_secret(
    cluster: Cluster,
    name: str,
    certificate: bytes | str | os.PathLike[str],
    key: bytes | str | os.PathLike[str],
    *,
    host: str | None = None,
    namespace: str | None = None,
) -> None:
    """Write a Secret of type kubernetes.io/tls, after the certificate, its dates, names and key were checked.

    Args:
        certificate, key: PEM bytes, or the path of a file; the server's own certificate first.
        host: name that the certificate has to be valid for.

    Raises:
        UsageError: the pair cannot be used, or a file cannot be read; nothing was written.
        Conflict: a Secret of that name is somebody else's.
    """
    namespace = namespace or cluster.namespace
    pair = (_content(certificate, "certificate"), _content(key, "key"))
    faults = certificate_faults(*pair, host, datetime.datetime.now(datetime.UTC))
    if faults:
        raise UsageError(
            "; ".join(faults), where=f"Secret {name!r}", expected="a PEM certificate and its own private key"
        )
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGED_BY: MANAGER, NAME: name}}
    data = {CERTIFICATE: _encode(pair[0]), KEY: _encode(pair[1])}
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": metadata,
        "data": data,
    }
    refuse_foreign(cluster, [secret])
    cluster.apply(secret)


def require_tls_secret(cluster: Cluster, namespace: str, name: str, host: str) -> None:
    """Check the Secret that a route names; who may not read it leaves that to the controller.

    Raises:
        NotFound: it is not there, or of another type.
        Rejected: the certificate cannot be used for the host.
    """
    try:
        secret = cluster.find("Secret", name, namespace)
    except Forbidden:
        return
    where = f"Secret {namespace}/{name}"
    if secret is None or secret.get("type") != TYPE:
        found = "is not there" if secret is None else f"is of type {secret.get('type')}"
        raise NotFound(
            f"the route's Secret {name!r} {found}",
            where=f"namespace {namespace!r}",
            expected=f"a Secret of type {TYPE} with {CERTIFICATE} and {KEY}; nothing was written",
            next_step=f"`mlk8s tls create {name} --host {host} -n {namespace}`",
        )
    data = secret.get("data") or {}
    pair = [base64.b64decode(data.get(part, "")) for part in (CERTIFICATE, KEY)]
    faults = certificate_faults(pair[0], pair[1], host, datetime.datetime.now(datetime.UTC))
    if faults:
        raise Rejected(
            "; ".join(faults),
            where=where,
            expected=f"a valid certificate for {host} and its key; nothing was written",
            next_step=f"write another one: `mlk8s tls create {name} --host {host} -n {namespace}`",
        )


def _content(value: bytes | str | os.PathLike[str], what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the {what}: {error.strerror}", where=str(value)) from None


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
