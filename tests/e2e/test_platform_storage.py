"""Object storage and DNS on the real cluster, from inside and from outside."""

from __future__ import annotations

import base64
import http.client
import time
from typing import Any

import pytest
from e2e_tools import wait_for

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import discover
from mlk8s.errors import StorageError
from mlk8s.local.handle import Local
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.failures import StorageUnreachable
from mlk8s.storage.store import Store

# What a pod of the pipeline's image sees; each line of its log is one fact. A DNS server that says nothing is
# asked again after 5 s.
INSIDE = """
import socket, time
from mlk8s.storage.store import Store
store = Store("s3://features/inside")
print("first", store.put_if_absent("one", b"1"))
print("second", store.put_if_absent("one", b"2"))
print("content", store.get("one"))
print("api", socket.gethostbyname("kubernetes.default"))
began = time.monotonic()
try:
    print("outside", socket.gethostbyname("example.org"))
except socket.gaierror as error:
    print("outside", error.errno == socket.EAI_NONAME, time.monotonic() - began < 4)
for port in (8333, 8888, 9333, 23646):
    try:
        socket.create_connection((ADDRESS, port), 1).close()
        print(port, "open")
    except OSError:
        print(port, "closed")
"""


@pytest.fixture(scope="module")
def cluster(local_cluster: Local) -> Cluster:
    return Cluster.connect(kubeconfig=local_cluster.kubeconfig)


@pytest.fixture(scope="module")
def outside(cluster: Cluster) -> StorageConfig:
    data = cluster.get("Secret", "mlk8s-storage", "mlk8s-system")["data"]
    key, secret = (base64.b64decode(data[name]).decode() for name in ("access-key-id", "secret-access-key"))
    assert len(secret) >= 32
    return StorageConfig(discover(cluster).s3_endpoint_outside, key, secret)


def storage_pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.list("Pod", "mlk8s-system", labels="app.kubernetes.io/name=seaweedfs")


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def test_put_once_and_read_from_outside(outside: StorageConfig) -> None:
    store = Store("s3://models/test-outside", outside)
    store.delete(["one", "large"])
    assert store.put_if_absent("one", b"1")
    assert not store.put_if_absent("one", b"2"), "If-None-Match: * must refuse the second put"
    assert store.get("one") == b"1"
    large = bytes(range(256)) * 40_000
    store.put("large", large)
    assert store.get("large") == large
    assert [info.key for info in store.objects()] == ["large", "one"]
    store.delete(["one", "large"])
    assert not store.exists("one")


def test_without_the_keys_nothing_is_given(outside: StorageConfig) -> None:
    address = str(outside.endpoint).removeprefix("http://")
    for method, path in (
        ("GET", "/models/test-outside/one"),
        ("PUT", "/models/test-outside/two"),
        ("GET", "/"),
    ):
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request(method, path, body=b"x" if method == "PUT" else None)
        assert connection.getresponse().status == 403, (method, path)
        connection.close()
    wrong = StorageConfig(outside.endpoint, outside.access_key_id, "wrong")
    with pytest.raises(StorageError):
        Store("s3://models", wrong).get("test-outside/one")


def test_a_pod_reaches_storage_by_name_and_nothing_else_of_it(
    cluster: Cluster, namespace: str, outside: StorageConfig
) -> None:
    Store("s3://features/inside", outside).delete(["one"])
    platform = discover(cluster)
    (storage,) = storage_pods(cluster)
    secret = cluster.get("Secret", "mlk8s-storage", "mlk8s-system")
    copy = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mlk8s-storage", "namespace": namespace},
    }
    cluster.create({**copy, "data": secret["data"]})
    mount = "/var/run/secrets/mlk8s/storage"
    container = {
        "name": "main",
        "image": platform.pipeline_image,
        "command": ["python3", "-c", INSIDE.replace("ADDRESS", repr(storage["status"]["podIP"]))],
        "env": [
            {"name": "STORAGE_ENDPOINT", "value": platform.s3_endpoint},
            {"name": "STORAGE_CREDENTIALS_DIR", "value": mount},
        ],
        "volumeMounts": [{"name": "storage", "mountPath": mount, "readOnly": True}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "storage", "secret": {"secretName": "mlk8s-storage"}}],
    }
    metadata = {"name": "inside", "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ends = ("Succeeded", "Failed")
    wait_for(lambda: cluster.get("Pod", "inside", namespace)["status"].get("phase") in ends)
    log = cluster.logs("inside", namespace).splitlines()
    service = cluster.get("Service", "kubernetes", "default")
    assert log == [
        "first True",
        "second False",
        "content b'1'",
        f"api {service['spec']['clusterIP']}",
        "outside True True",
        "8333 open",
        "8888 closed",
        "9333 closed",
        "23646 closed",
    ]


def test_objects_outlive_the_pod(cluster: Cluster, outside: StorageConfig) -> None:
    store = Store("s3://models/test-outlive", outside)
    store.put("one", b"kept")
    store.put("large", bytes(5_000_000))
    (pod,) = storage_pods(cluster)
    cluster.delete("Pod", pod["metadata"]["name"], "mlk8s-system")
    end, missing = time.monotonic() + 120, "the new pod"
    while missing:
        assert time.monotonic() < end, missing
        pods = storage_pods(cluster)
        assert len(pods) <= 1, "two pods must never write to one volume"
        if [new for new in pods if is_ready(new) and new["metadata"]["uid"] != pod["metadata"]["uid"]]:
            try:
                missing = (
                    ""
                    if store.get("one") == b"kept" and store.get("large") == bytes(5_000_000)
                    else "content"
                )
            except StorageUnreachable as error:  # the node port follows the pod a moment later
                missing = str(error)
        time.sleep(0.2)
    store.delete(["one", "large"])
