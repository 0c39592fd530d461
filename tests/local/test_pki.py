"""Certificates: right for their owner, private, renewed in time, repaired when half of a pair is missing."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from mlk8s.local import pki
from mlk8s.local.node import identities
from mlk8s.local.registry import Cluster

CLUSTER = Cluster(name="test", index=3)
IDENTITIES = identities(CLUSTER)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    pki.ensure(tmp_path / "pki", IDENTITIES)
    return tmp_path / "pki"


def certificate(directory: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())


def test_every_identity_is_signed_by_its_authority(directory: Path) -> None:
    for identity in IDENTITIES:
        found = certificate(directory, identity.file)
        found.verify_directly_issued_by(certificate(directory, identity.authority))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(directory / f"{identity.file}.crt", directory / f"{identity.file}.key")


def test_kubelet_is_the_node_and_the_agent_is_in_no_group(directory: Path) -> None:
    assert (
        certificate(directory, "kubelet").subject.rfc4514_string()
        == "CN=system:node:test-node,O=system:nodes"
    )
    assert certificate(directory, "agent").subject.rfc4514_string() == "CN=mlk8s-agent"


def test_only_the_owner_reads_the_files(directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_is_right_is_kept(directory: Path) -> None:
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    assert pki.ensure(directory, IDENTITIES) == []
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


def test_a_pair_that_was_interrupted_is_made_anew(directory: Path) -> None:
    (directory / "scheduler.key").write_bytes((directory / "agent.key").read_bytes())
    (directory / "kubelet.crt").unlink()
    assert set(pki.ensure(directory, IDENTITIES)) == {"scheduler", "kubelet"}


def test_another_address_means_another_certificate(directory: Path) -> None:
    moved = identities(Cluster(name="test", index=4))
    assert set(pki.ensure(directory, moved)) == {"apiserver", "kubelet"}


def test_less_than_thirty_days_are_renewed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.datetime.now(datetime.UTC) + pki.VALID - pki.RENEW_BEFORE
    monkeypatch.setattr(pki, "_now", lambda: later - datetime.timedelta(hours=1))
    assert pki.ensure(directory, IDENTITIES) == []
    monkeypatch.setattr(pki, "_now", lambda: later + datetime.timedelta(hours=1))
    made = set(pki.ensure(directory, IDENTITIES))
    assert made == {identity.file for identity in IDENTITIES} | {"ca", "etcd-ca", "front-proxy-ca"}
    assert pki.ensure(directory, IDENTITIES) == []


def test_kubeconfig_names_context_and_server(directory: Path) -> None:
    config = yaml.safe_load(pki.kubeconfig(directory, "admin", CLUSTER.api_url, "mlk8s-test"))
    assert config["current-context"] == "mlk8s-test"
    assert config["clusters"][0]["cluster"]["server"] == "https://10.200.3.2:6443"


def test_the_encryption_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "encryption.yaml"
    pki.encryption_config(path)
    first = path.read_bytes()
    pki.encryption_config(path)
    assert path.read_bytes() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    provider = yaml.safe_load(first)["resources"][0]["providers"][0]
    assert "secretbox" in provider, "the first provider is the one that writes"
