"""Why a PersistentVolumeClaim is not bound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.observed import Object, age, events_of, place
from mlk8s.assess.why.deletion import claims_of, held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.spec.quantity import parse_quantity

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_PROVISION_GRACE = 20.0
_STATIC = "kubernetes.io/no-provisioner"


def claim(item: Object, facts: Facts) -> Answer:
    """Return why a claim is not bound."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    phase = item.get("status", {}).get("phase")
    if phase == "Bound":
        return Answer(f"it is bound to {item['spec'].get('volumeName')}")
    if phase == "Lost":
        name = item["spec"].get("volumeName")
        cause = _cause("claim-lost", f"its volume {name} is gone", item,
                       "restore the PersistentVolume, or delete the claim and make a new one")  # fmt: skip
        return Answer(cause.message, cause)
    waits = _pending(item, facts)
    return Answer(waits.message if waits else "it waits for its volume", waits, starting=waits is None)


def claim_cause(cause: Cause, pod: Object, facts: Facts) -> Cause:
    """Return why a pod's claim is not bound, in place of the scheduler's word that it is not."""
    for name in claims_of(pod):
        found = facts.one("PersistentVolumeClaim", name)
        if found is None:
            return replace(
                cause,
                id="claim-missing",
                message=f"the pod names the PersistentVolumeClaim {name}, which is not there",
                remedy=f"create the claim {name}, or correct claimName in the pod's volumes",
            )
        if found.get("status", {}).get("phase") != "Bound":
            reason = _pending(found, facts, waited_for=True)
            if reason is not None:
                return replace(reason, message=f"the pod's claim {name} is not bound: {reason.message}")
    return cause


def _pending(item: Object, facts: Facts, *, waited_for: bool = False) -> Cause | None:
    """Return why a claim waits; `waited_for` says that a pod is known to mount it."""
    facts.want("StorageClass", "PersistentVolume")
    name = item["spec"].get("storageClassName")
    classes = facts.of("StorageClass")
    if name is None:
        if any((c["metadata"].get("annotations") or {}).get(_DEFAULT) == "true" for c in classes):
            return None  # the API server is about to fill it in
        listed = ", ".join(c["metadata"]["name"] for c in classes) or "none"
        return _cause(
            "no-default-class",
            f"it names no StorageClass, and the cluster has no default one (classes: {listed})",
            item,
            "name a class in storageClassName, or mark one as the default: "
            f"`kubectl annotate storageclass NAME {_DEFAULT}=true`",
        )
    if name == "":
        return _static(item, facts.of("PersistentVolume"), "")
    found = next((c for c in classes if c["metadata"]["name"] == name), None)
    if found is None:
        static = [v for v in facts.of("PersistentVolume") if v["spec"].get("storageClassName") == name]
        if static:
            return _static(item, static, name)
        listed = ", ".join(c["metadata"]["name"] for c in classes) or "none"
        return _cause(
            "class-missing",
            f"there is no StorageClass {name!r} (classes: {listed})",
            item,
            "a claim's class cannot be changed: delete the claim and make it anew with storageClassName "
            f"{classes[0]['metadata']['name'] if len(classes) == 1 else 'one of these'}",
        )
    if found.get("provisioner") == _STATIC:
        return _static(item, facts.of("PersistentVolume"), name)
    return _provisioned(item, found, facts, waited_for)


def _provisioned(item: Object, of_class: Object, facts: Facts, waited_for: bool) -> Cause | None:
    events = events_of(item, facts.events)
    failed = next((e for e in reversed(events) if e.get("reason") == "ProvisioningFailed"), None)
    provisioner = of_class.get("provisioner")
    if failed is not None:
        words = short(str(failed.get("message", "")))
        mode = re.search(r"(?i)access ?mode|ReadWriteMany|ReadOnlyMany", words)
        return _cause(
            "access-mode" if mode else "provisioning-failed",
            f"{provisioner} refuses it: {words}",
            item,
            "ask for ReadWriteOnce, or use a class whose provisioner can do it" if mode
            else f"change what it refuses; the provisioner's log says more ({provisioner})",
        )  # fmt: skip
    users = [p["metadata"]["name"] for p in facts.of("Pod") if item["metadata"]["name"] in claims_of(p)]
    if of_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not users and not waited_for:
        return _cause(
            "no-consumer",
            "its class binds a claim when a pod that mounts it is scheduled, and no pod mounts it",
            item,
            "start a pod that mounts it: this is how the class works, and no fault",
        )
    asked = any(e.get("reason") == "ExternalProvisioning" for e in events)
    if asked and age(item["metadata"].get("creationTimestamp"), facts.now) >= _PROVISION_GRACE:
        return _cause(
            "no-provisioner",
            f"it waits for the provisioner {provisioner} of its class {of_class['metadata']['name']}, and "
            "none answers",
            item,
            f"start the provisioner {provisioner}, or use a class that has one: `kubectl get storageclass`",
        )
    return None


def _static(item: Object, volumes: Sequence[Object], of_class: str) -> Cause | None:
    """Return why no volume that somebody made fits."""
    asked = str(item["spec"]["resources"]["requests"]["storage"])
    size = parse_quantity(asked)
    modes = set(item["spec"].get("accessModes") or ())
    open_ = [
        v
        for v in volumes
        if (v["spec"].get("storageClassName") or "") == of_class
        and v.get("status", {}).get("phase") == "Available"
        and parse_quantity(str(v["spec"]["capacity"]["storage"])) >= size
    ]
    if open_ and not any(modes <= set(v["spec"].get("accessModes") or ()) for v in open_):
        can = "; ".join(f"{v['metadata']['name']}: {', '.join(v['spec']['accessModes'])}" for v in open_[:3])
        return _cause(
            "access-mode",
            f"no volume offers {', '.join(sorted(modes))} ({can})",
            item,
            "delete the claim and ask for an access mode that the volume has, or make another volume",
        )
    where = f"of class {of_class}" if of_class else "without a class"
    return _cause(
        "no-volume",
        f"it waits for a PersistentVolume {where} of {asked} or more, and nothing makes one by itself",
        item,
        "create such a PersistentVolume, or make the claim anew with a class that provisions",
    )


def _cause(key: str, message: str, item: Object, remedy: str) -> Cause:
    events = (f"class: {item['spec'].get('storageClassName')!r}, modes: {item['spec'].get('accessModes')}",)
    return Cause(key, message, place(item), remedy, evidence=events)
