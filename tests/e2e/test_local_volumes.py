"""The default StorageClass on the real node: data outlives its pods, and goes with its claim."""

from __future__ import annotations

import time
from typing import Any

from conftest import exists
from e2e_tools import wait_for
from pods import create_pod, pod

from mlk8s.local.handle import Local

CLAIMS = "/api/v1/namespaces/{}/persistentvolumeclaims"
WRITE = "import pathlib, time; pathlib.Path('/data/x').write_text('kept'); time.sleep(600)"
READ = "import pathlib, sys; sys.exit(pathlib.Path('/data/x').read_text() != 'kept')"


def claim(local: Local, namespace: str, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }
    local.api().request("POST", CLAIMS.format(namespace), body)


def with_claim(name: str, claim_name: str, script: str) -> dict[str, Any]:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    return pod(name, script=script, volumes=[volume], mounts=mounts, restartPolicy="Never")


def test_data_outlives_its_pod_and_goes_with_its_claim(
    local_cluster: Local, namespace: str, python_pods: str
) -> None:
    api = local_cluster.api()
    claim(local_cluster, namespace, "data")
    assert api.get(f"{CLAIMS.format(namespace)}/data")["status"]["phase"] == "Pending", "no pod wants it yet"
    create_pod(local_cluster, namespace, with_claim("writer", "data", WRITE))
    volume = api.get(f"{CLAIMS.format(namespace)}/data")["spec"]["volumeName"]
    directory = local_cluster.cluster.directory / "volumes" / volume
    wait_for(lambda: (directory / "x").exists())
    assert (directory / "x").stat().st_uid == 10001, "the pod's own user wrote it"

    api.delete(f"/api/v1/namespaces/{namespace}/pods/writer")
    wait_for(lambda: not exists(api, f"/api/v1/namespaces/{namespace}/pods/writer"))
    create_pod(local_cluster, namespace, with_claim("reader", "data", READ))
    path = f"/api/v1/namespaces/{namespace}/pods/reader"
    wait_for(lambda: api.get(path)["status"]["phase"] in ("Succeeded", "Failed"))
    assert api.get(path)["status"]["phase"] == "Succeeded", "the second pod did not find the data"

    api.delete(path)
    api.delete(f"{CLAIMS.format(namespace)}/data")
    wait_for(lambda: not exists(api, f"/api/v1/persistentvolumes/{volume}"))
    assert not directory.exists()


def test_retain_keeps_the_data(local_cluster: Local, namespace: str, python_pods: str) -> None:
    api = local_cluster.api()
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "test-retain"},
        "provisioner": "mlk8s.dev/local-volume",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }
    api.apply("/apis/storage.k8s.io/v1/storageclasses/test-retain", storage_class)
    claim(local_cluster, namespace, "kept", storageClassName="test-retain")
    path = f"{CLAIMS.format(namespace)}/kept"
    wait_for(lambda: api.get(path)["status"]["phase"] == "Bound")
    volume = api.get(path)["spec"]["volumeName"]
    api.delete(path)
    wait_for(lambda: api.get(f"/api/v1/persistentvolumes/{volume}")["status"]["phase"] == "Released")
    time.sleep(1)
    assert (local_cluster.cluster.directory / "volumes" / volume).is_dir()
    api.delete(f"/api/v1/persistentvolumes/{volume}")
    api.delete("/apis/storage.k8s.io/v1/storageclasses/test-retain")


def test_a_block_volume_is_refused_with_a_reason(
    local_cluster: Local, namespace: str, python_pods: str
) -> None:
    claim(local_cluster, namespace, "block", volumeMode="Block")
    devices = [{"name": "data", "devicePath": "/dev/data"}]
    manifest = with_claim("wants-block", "block", "pass")
    container = manifest["spec"]["containers"][0]
    container["volumeDevices"] = devices
    container["volumeMounts"] = []
    local_cluster.api().request("POST", f"/api/v1/namespaces/{namespace}/pods", manifest)

    def told() -> bool:
        events = local_cluster.api().get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return any(item["reason"] == "ProvisioningFailed" and "block" in item["message"] for item in events)

    wait_for(told)
