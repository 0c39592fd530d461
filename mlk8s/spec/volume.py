"""Storage that outlives a pod: a PersistentVolumeClaim, and where it is mounted."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Labels, Name, Namespace, Quantity, dns_label, parse_quantity

Access = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
_TAKEN = ("/models", "/tmp", "/proc", "/sys", "/dev", "/etc", "/var/run/secrets")  # noqa: S108 - mount points


def dns_subdomain(value: str) -> str:
    """Check a DNS-1123 subdomain, the name of most Kubernetes objects: labels with dots, at most 253.

    Raises:
        ValueError: with the expected form.
    """
    if len(value) > 253:
        raise ValueError("expected a DNS-1123 subdomain of at most 253 characters")
    for part in value.split("."):
        dns_label(part)
    return value


def mount_path(value: str) -> str:
    """Check where a volume is mounted: an absolute path that neither the system nor mlk8s uses."""
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", value) or len(value) > 255 or "/.." in value:
        raise ValueError("expected an absolute path such as /data, of letters, digits and '._-'")
    if any(value == taken or value.startswith(taken + "/") for taken in _TAKEN):
        raise ValueError(f"expected a path outside {', '.join(_TAKEN)}, which have their use already")
    return value


ObjectName = Annotated[str, AfterValidator(dns_subdomain)]
MountPath = Annotated[str, AfterValidator(mount_path)]


class Volume(Spec):
    """A PersistentVolumeClaim: made where it is declared, or one that is there.

    Applied by itself (`k8s.apply`), it is a claim of its name, which services and jobs then mount by `claim`.
    Given to a service or job, its claim is theirs and named OWNER-NAME.

    Attributes:
        name: DNS-1123 label, at most 50 characters.
        size: what is asked for ('10Gi'); with `claim` nothing is made, and so nothing is asked for.
        storage_class: None means the cluster's default class.
        access: who may mount it: pods of one node (ReadWriteOnce), one pod (ReadWriteOncePod), pods of every
            node to read (ReadOnlyMany) or to write (ReadWriteMany).
        retain: the claim, and so the data, stays when the service or job that it belongs to is deleted; False
            deletes both with it. What becomes of the data when the claim itself is deleted is the reclaim
            policy of its class.
        claim: name of a claim that is there already.
        mount: path in the service's or job's own container; None means /volumes/NAME.
        read_only: mounted to read; None means so for ReadOnlyMany and for a `claim` that is there.
    """

    name: Name
    size: Quantity | None = None
    storage_class: ObjectName | None = None
    access: Access = "ReadWriteOnce"
    retain: bool = True
    claim: ObjectName | None = None
    mount: MountPath | None = None
    read_only: bool | None = None
    namespace: Namespace | None = None
    labels: Labels = {}

    @model_validator(mode="after")
    def _made_or_there(self) -> Volume:
        if self.claim is None:
            if self.size is None:
                raise ValueError("expected size (such as '1Gi'), or claim with the name of one that is there")
            if parse_quantity(self.size) <= 0:
                raise ValueError(f"size is {self.size!r}; expected more than zero")
            return self
        given = self.model_fields_set & {"size", "storage_class", "retain"}
        given -= {field for field in given if getattr(self, field) == type(self).model_fields[field].default}
        if given:
            raise ValueError(
                f"claim {self.claim!r} is there already, so {', '.join(sorted(given))} would have no effect; "
                "expected one of them"
            )
        return self

    def claim_name(self, owner: str | None = None) -> str:
        """Name of the PersistentVolumeClaim; `owner` is the service or job that declares it."""
        if self.claim is not None:
            return self.claim
        return f"{owner}-{self.name}" if owner else self.name

    @property
    def mounted_at(self) -> str:
        """Path in the container of the service or job that declares it."""
        return self.mount or f"/volumes/{self.name}"

    @property
    def mounted_read_only(self) -> bool:
        if self.read_only is not None:
            return self.read_only
        return self.access == "ReadOnlyMany" or self.claim is not None
