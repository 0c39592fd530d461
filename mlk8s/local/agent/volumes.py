"""The default StorageClass: a PersistentVolume is a directory of the machine, on the node that has it.

A claim gets its directory when the scheduler has chosen the node for its first pod (WaitForFirstConsumer), or
at once where its class says Immediate. A claim for more than the disk has free is refused; what is granted is
not enforced: the volumes share the disk. Every access mode is granted, because there is one node. A released
volume is removed with its data under the reclaim policy Delete and kept under Retain.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

from mlk8s.local.agent.api import Api, ApiError, Mirror, Object
from mlk8s.spec.quantity import parse_quantity

_log = logging.getLogger(__name__)

PROVISIONER = "mlk8s.dev/local-volume"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_VOLUMES = "/api/v1/persistentvolumes"


def _reduce(item: Object) -> Object:
    return {"metadata": item["metadata"], "spec": item["spec"], "phase": item.get("status", {}).get("phase")}


def volume(claim: Object, storage_class: Object, node: str, directory: Path) -> Object:
    """The PersistentVolume for a claim; pure."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": storage_class["metadata"]["name"],
            "local": {"path": str(directory / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def _bytes(quantity: str) -> float:
    """A quantity that the API server has accepted, in bytes."""
    try:
        return float(parse_quantity(quantity))
    except ValueError:  # the exponent form, 1e9
        return float(quantity.rstrip("num"))


class Provisioner:
    """Makes and removes the volumes of one node.

    Args:
        api: connection.
        node: its name.
        directory: where each volume is a directory.
    """

    def __init__(self, api: Api, node: str, directory: Path) -> None:
        self._api, self._node, self._directory = api, node, directory
        self._work = threading.Event()
        self._told: set[str] = set()  # claims that were refused, so that each is told once
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims", _reduce, self._work.set)
        self._volumes = Mirror(api, _VOLUMES, _reduce, self._work.set)

    def start(self) -> None:
        self._claims.start()
        self._volumes.start()
        threading.Thread(target=self._run, name="volumes", daemon=True).start()

    def _run(self) -> None:
        self._claims.synced.wait()
        self._volumes.synced.wait()
        while True:
            self._work.wait()
            self._work.clear()
            try:
                for claim in self._claims.objects.values():
                    self._provision(claim)
                for item in self._volumes.objects.values():
                    self._reclaim(item)
            except (ApiError, OSError) as error:
                _log.warning("%s", error)
                time.sleep(1)
                self._work.set()

    def _provision(self, claim: Object) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        annotations = metadata.get("annotations") or {}
        asked = annotations.get("volume.kubernetes.io/storage-provisioner")
        if claim["phase"] != "Pending" or spec.get("volumeName") or asked != PROVISIONER:
            return
        if f"pvc-{metadata['uid']}" in {item["metadata"]["name"] for item in self._volumes.objects.values()}:
            return
        name = spec.get("storageClassName")
        storage_class = self._api.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        chosen = annotations.get("volume.kubernetes.io/selected-node")
        if chosen != self._node and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            return
        if spec.get("volumeMode") == "Block":
            self._refuse(
                claim, "a block volume was asked for; this class makes directories (volumeMode: Filesystem)"
            )
            return
        free = shutil.disk_usage(self._directory).free
        size = spec["resources"]["requests"]["storage"]
        if _bytes(size) > free:
            self._refuse(claim, f"{size} was asked for, and the node's disk has {free >> 20}Mi free")
            return
        wanted = volume(claim, storage_class, self._node, self._directory)
        path = Path(wanted["spec"]["local"]["path"])
        path.mkdir(exist_ok=True)
        path.chmod(0o777)  # whichever user the container runs as; the parent is closed to the machine's users
        try:
            self._api.request("POST", _VOLUMES, wanted)
        except ApiError as error:
            if error.status != 409:
                raise

    def _reclaim(self, item: Object) -> None:
        metadata, spec = item["metadata"], item["spec"]
        made_here = (metadata.get("annotations") or {}).get(_PROVISIONED_BY) == PROVISIONER
        if item["phase"] != "Released" or not made_here or spec["persistentVolumeReclaimPolicy"] != "Delete":
            return
        path = Path(spec["local"]["path"])
        if path.parent == self._directory and path.name == metadata["name"] and path.exists():
            shutil.rmtree(path)
        self._api.delete(f"{_VOLUMES}/{metadata['name']}")

    def _refuse(self, claim: Object, message: str) -> None:
        metadata = claim["metadata"]
        if metadata["uid"] in self._told:
            return
        self._told.add(metadata["uid"])
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "reason": "ProvisioningFailed",
            "message": message,
            "type": "Warning",
            "source": {"component": PROVISIONER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._api.request("POST", f"/api/v1/namespaces/{metadata['namespace']}/events", event)
