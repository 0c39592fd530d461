"""The certificates of one local cluster: an authority each for Kubernetes, etcd and aggregation.

ECDSA P-256 throughout, valid for a year; `ensure` renews what has less than 30 days left, so that any `up`
does. A client's identity is its certificate's subject: CN is the user, O are the groups.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One certificate: file name, subject, and the names and addresses it is valid for."""

    file: str
    common_name: str
    organization: str | None = None
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    authority: str = "ca"


@dataclass
class _Pair:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate = field(repr=False)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        # SEC1, "EC PRIVATE KEY": every Kubernetes part and etcd read it
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(minutes=5))  # clocks of a resumed machine may step
        .not_valid_after(_now() + VALID)
    )


def _authority(common_name: str) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _Pair(key, builder.sign(key, hashes.SHA256()))


def _leaf(identity: Identity, authority: _Pair) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.dns]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    builder = (
        _builder(_name(identity.common_name, identity.organization), authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _Pair(key, builder.sign(authority.key, hashes.SHA256()))


def _load(directory: Path, file: str) -> _Pair | None:
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{file}.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / f"{file}.key").read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None  # interrupted between the two files
    if certificate.not_valid_after_utc - _now() < RENEW_BEFORE:
        return None
    return _Pair(key, certificate)


def _store(directory: Path, file: str, pair: _Pair) -> None:
    write_private(directory / f"{file}.key", _key_bytes(pair.key))
    write_private(directory / f"{file}.crt", pair.certificate.public_bytes(serialization.Encoding.PEM))


def _matches(pair: _Pair, identity: Identity, authority: _Pair) -> bool:
    """Whether a certificate on disk is still the one asked for: authority, subject, names and addresses."""
    certificate = pair.certificate
    if certificate.subject != _name(identity.common_name, identity.organization):
        return False
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # InvalidSignature, ValueError or TypeError: all mean another authority
        return False
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not identity.dns and not identity.addresses
    return set(names.get_values_for_type(x509.DNSName)) == set(identity.dns) and {
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    } == set(identity.addresses)


def ensure(directory: Path, identities: tuple[Identity, ...]) -> list[str]:
    """Make the certificates and keys that are missing, end within 30 days, or say something else than asked.

    Args:
        directory: made with mode 0700; holds FILE.crt and FILE.key for each identity and each authority,
            and sa.key and sa.pub for service-account tokens.

    Returns:
        The names of the files that were made anew, empty when all were right.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: list[str] = []
    authorities: dict[str, _Pair] = {}
    for file in sorted({identity.authority for identity in identities}):
        pair = _load(directory, file)
        if pair is None:
            pair = _authority(f"mlk8s-{file}")
            _store(directory, file, pair)
            made.append(file)
        authorities[file] = pair
    for identity in identities:
        pair = _load(directory, identity.file)
        if pair is None or not _matches(pair, identity, authorities[identity.authority]):
            _store(directory, identity.file, _leaf(identity, authorities[identity.authority]))
            made.append(identity.file)
    made += _service_account_key(directory)
    return made


def serving(name: str, dns: tuple[str, ...]) -> dict[str, bytes]:
    """A server's certificate and key with an authority of its own, as a Secret holds them, in PEM.

    The authority's key is forgotten: what is to be renewed is made anew with it.
    """
    authority = _authority(f"{name}-ca")
    pair = _leaf(Identity(file=name, common_name=name, dns=dns), authority)
    return {
        "ca.crt": authority.certificate.public_bytes(serialization.Encoding.PEM),
        "tls.crt": pair.certificate.public_bytes(serialization.Encoding.PEM),
        "tls.key": _key_bytes(pair.key),
    }


def is_fresh(certificate: bytes, dns: tuple[str, ...]) -> bool:
    """Whether a certificate in PEM is for these names and ends in more than 30 days."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    told = set(names.get_values_for_type(x509.DNSName))
    return told == set(dns) and found.not_valid_after_utc - _now() > RENEW_BEFORE


def _service_account_key(directory: Path) -> list[str]:
    # Tokens in running pods are signed with it, so it is never renewed by date.
    private, public = directory / "sa.key", directory / "sa.pub"
    if private.exists() and public.exists():
        return []
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_private(private, _key_bytes(key))
    write_private(public, pem)
    return ["sa"]


def kubeconfig(directory: Path, file: str, server: str, context: str) -> bytes:
    """A kubeconfig with the certificates inside it.

    Args:
        directory: where `ensure` wrote.
        file: the identity's file name.
        server: the API server's address, https://HOST:PORT.
        context: name of the one cluster, user and context.
    """

    def inline(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": inline("ca.crt")}
    user = {"client-certificate-data": inline(f"{file}.crt"), "client-key-data": inline(f"{file}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return yaml.safe_dump(config, sort_keys=False).encode()


def encryption_config(path: Path) -> None:
    """Write the API server's EncryptionConfiguration with a key of its own, once."""
    if path.exists():
        return
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    config = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [{"secretbox": {"keys": [{"name": "key1", "secret": key}]}}, {"identity": {}}],
            }
        ],
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())
