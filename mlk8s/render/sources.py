"""What a pod needs to read and write versions: credentials, claims, certificates, and the way to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlk8s.render.common import Manifest
from mlk8s.render.pod import CREDENTIALS_DIR, credentials_mount, credentials_volume
from mlk8s.spec.urls import CaFile, claim_of, scheme

CLAIMS_DIR = "/claims"
"""Where the claims of pvc:// addresses are mounted, by name."""
_CA_DIR = "/var/run/mlk8s/ca"


@dataclass(frozen=True)
class Sources:
    """The part of a pod that leads to its versions.

    Attributes:
        env, mounts: of the container that reads them.
        volumes: of the pod.
        hosts: https:// addresses that its NetworkPolicy opens.
        s3: whether it needs the object storage.
        claims: names of the claims that must be there.
    """

    env: dict[str, str] = field(default_factory=dict)
    mounts: list[Manifest] = field(default_factory=list)
    volumes: list[Manifest] = field(default_factory=list)
    hosts: tuple[str, ...] = ()
    s3: bool = False
    claims: tuple[str, ...] = ()

    def reaches(self, other: Sources) -> bool:
        """Whether the NetworkPolicy of these sources lets a pod reach the others too."""
        places = {urlsplit(host).netloc for host in self.hosts}
        return self.s3 >= other.s3 and {urlsplit(host).netloc for host in other.hosts} <= places


def sources(read: Iterable[str], secret: str, ca: CaFile | None = None, write: str | None = None) -> Sources:
    """Return what the addresses need.

    Args:
        read: addresses of versions that are read: their claims are mounted read-only.
        secret: of the object storage; only a pod that needs it has it.
        ca: authority of the certificates of https:// addresses.
        write: address that is written to.
    """
    urls = [*read, *([write] if write else [])]
    env: dict[str, str] = {}
    mounts: list[Manifest] = []
    volumes: list[Manifest] = []
    s3 = any(scheme(url) == "s3" for url in urls)
    if s3:
        env["STORAGE_CREDENTIALS_DIR"] = CREDENTIALS_DIR
        mounts.append(credentials_mount())
        volumes.append(credentials_volume(secret))
    claims = tuple(dict.fromkeys(name for url in urls if (name := claim_of(url)) is not None))
    if claims:
        env["PVC_DIR"] = CLAIMS_DIR
    for number, name in enumerate(claims):
        written = write is not None and claim_of(write) == name
        mounts.append(
            {"name": f"claim-{number}", "mountPath": f"{CLAIMS_DIR}/{name}"}
            | ({} if written else {"readOnly": True})
        )
        volumes.append({"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": name}})
    if ca is not None:
        env["HTTPS_CA_FILE"] = f"{_CA_DIR}/ca.crt"
        mounts.append({"name": "ca", "mountPath": _CA_DIR, "readOnly": True})
        volumes.append({"name": "ca", **_ca_source(ca)})
    hosts = tuple(url for url in urls if scheme(url) == "https")
    return Sources(env, mounts, volumes, hosts, s3, claims)


def _ca_source(ca: CaFile) -> Manifest:
    items = [{"key": ca.key, "path": "ca.crt"}]
    if ca.config_map is not None:
        return {"configMap": {"name": ca.config_map, "items": items, "defaultMode": 0o444}}
    return {"secret": {"secretName": ca.secret, "items": items, "defaultMode": 0o440}}
