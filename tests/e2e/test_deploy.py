"""Deploys on the real cluster: from spec to answer, updates without loss, and every cause of failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from e2e_tools import fresh_cluster_namespace, kubeconfig_of_service_account, live_pods, uids, wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.errors import Conflict, DigestMismatch, Forbidden, NotFound, Rejected, RolloutFailed
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.deploy import plan
from mlk8s.operations.service import Service
from mlk8s.operations.waiting import wait_rollout
from mlk8s.spec.resources import Resources
from mlk8s.storage.failures import ObjectNotFound
from mlk8s.storage.models import upload_model
from mlk8s.storage.store import Store

SCALE = "app.kubernetes.io/name=scale"
SMALL = Resources(cpu="100m", cpu_limit=None, memory="256Mi")
KINDS = (
    "Deployment", "Service", "Ingress", "ConfigMap", "PodDisruptionBudget", "ServiceAccount", "NetworkPolicy",
    "HorizontalPodAutoscaler",
)  # fmt: skip


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: 1 doubles, 2 triples, 3 has been damaged in the storage."""
    config = k8s.storage()
    urls = {}
    for version, factor in (("1", 2.0), ("2", 3.0), ("3", 4.0)):
        url = f"s3://models/{k8s.namespace}/{version}"
        reference = upload_model(scaling(factor), url, config=config)
        urls[version] = reference.url
    (file,) = reference.manifest.files
    Store(reference.url, config).put(reference.manifest.key(file), b"not the model")
    return urls


@pytest.fixture(scope="module")
def spec(models: dict[str, str]) -> mlk8s.ModelService:
    return mlk8s.ModelService(
        name="scale", model=models["1"], replicas=2, resources=SMALL, startup_timeout=60, request_timeout=2
    )


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    yield k8s.deploy(spec)


def answer(service: Service) -> float:
    """Return the factor that the service multiplies by."""
    result = service.predict([ROW])["y"] / np.array([ROW], dtype=np.float32)
    return float(result[0, 0])


def live(k8s: Kubernetes, kind: str, name: str) -> dict[str, Any]:
    return k8s.cluster.get(kind, name)


def settle(k8s: Kubernetes) -> None:
    """Wait until no pod of the service is ending: those answer for a moment longer."""
    wait_for(lambda: len(k8s.cluster.list("Pod", labels=SCALE)) == len(live_pods(k8s.cluster, SCALE)))


def nothing_named(k8s: Kubernetes, name: str) -> bool:
    labels = f"app.kubernetes.io/name={name}"
    return not any(k8s.cluster.list(kind, labels=labels) for kind in KINDS)


def test_a_deploy_answers_and_consists_of_everything(k8s: Kubernetes, service: Service) -> None:
    assert answer(service) == 2.0
    assert service.predict([ROW]).model_version == "1"
    for kind in KINDS[:-1]:
        assert k8s.cluster.list(kind, labels="app.kubernetes.io/name=scale"), kind
    (config,) = k8s.cluster.list("ConfigMap", labels="app.kubernetes.io/name=scale")
    assert config["data"]["MODEL_DIGEST"].startswith("sha256:")
    status = service.status()
    assert (status.replicas, status.ready) == (2, 2)


def test_the_same_command_again_changes_nothing(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    before = live(k8s, "Deployment", "scale")["metadata"]
    pods = uids(live_pods(k8s.cluster, SCALE))
    k8s.deploy(spec)
    after = live(k8s, "Deployment", "scale")["metadata"]
    assert after["generation"] == before["generation"]
    assert uids(live_pods(k8s.cluster, SCALE)) == pods


def test_an_update_loses_no_request(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    with service.background([ROW], rps=25) as background:
        wait_for(lambda: background.records)
        k8s.deploy(spec.replace(model=models["2"]))
        settle(k8s)
        gone = time.time()
        wait_for(lambda: background.records[-1].time > gone + 1)
    summary = background.summary()
    assert summary.failed == 0, summary
    assert set(summary.versions) == {"1", "2"}
    assert answer(service) == 3.0


def test_undo_goes_back(k8s: Kubernetes, service: Service) -> None:
    service.undo()
    settle(k8s)
    assert answer(service) == 2.0
    config = {
        item["data"]["MODEL_VERSION"]
        for item in k8s.cluster.list("ConfigMap", labels="app.kubernetes.io/name=scale")
    }
    assert config == {"1", "2"}


def test_an_image_that_is_not_there_ends_the_wait_and_the_old_version_serves(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    said: list[str] = []
    with pytest.raises(RolloutFailed, match="localhost/mlk8s/absent:1 cannot be pulled") as told:
        k8s.deploy(spec.replace(image="localhost/mlk8s/absent:1"), say=said.append)
    assert "the old version (1), 2 pods, still serves" in str(told.value)
    assert "undo" in str(told.value)
    assert any("ImagePullBackOff" in line or "ErrImagePull" in line for line in said)
    assert answer(service) == 2.0


def test_more_gpus_than_there_are_are_named_within_half_a_minute(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    with pytest.raises(RolloutFailed, match=r"Insufficient nvidia\.com/gpu") as told:
        k8s.deploy(spec.replace(gpu=mlk8s.Gpu(9)))
    (pod,) = [item for item in live_pods(k8s.cluster, SCALE) if not item["spec"].get("nodeName")]
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    assert datetime.now(UTC) - made < timedelta(seconds=30)
    assert "still serves" in str(told.value)
    assert answer(service) == 2.0


def test_undo_after_failures_goes_to_what_serves(k8s: Kubernetes, service: Service) -> None:
    service.undo()
    pods = live_pods(k8s.cluster, SCALE)
    assert not any("nvidia.com/gpu" in str(pod["spec"]["containers"][0]["resources"]) for pod in pods)
    assert answer(service) == 2.0
    assert live(k8s, "Deployment", "scale")["status"].get("unavailableReplicas") is None


def test_a_gpu_service_is_scheduled_by_toleration_and_selector(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    deployed = k8s.deploy(spec.replace(name="gpu", replicas=1, gpu=mlk8s.Gpu(1)))
    (pod,) = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=gpu")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert answer(deployed) == 2.0
    deployed.delete()
    assert nothing_named(k8s, "gpu")


def test_a_crash_loop_shows_the_last_log_lines_and_heals_with_the_next_deploy(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    broken = spec.replace(name="crash", replicas=1, env={"MAX_BODY_BYTES": "many"})
    with pytest.raises(RolloutFailed, match="server ends as soon as it starts: exit code 2") as told:
        k8s.deploy(broken)
    assert "last log lines" in str(told.value)
    assert "MAX_BODY_BYTES is 'many'" in str(told.value)
    said: list[str] = []
    with pytest.raises(RolloutFailed):
        k8s.deploy(broken, say=said.append)
    assert any("afresh" in line for line in said)
    healed = k8s.deploy(broken.replace(env={}))
    assert answer(healed) == 2.0
    healed.delete()


def test_a_failed_probe_is_told_in_the_kubelets_words(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    deaf = spec.replace(name="deaf", replicas=1, env={"HOST": "127.0.0.1"}, startup_timeout=3)
    with pytest.raises(RolloutFailed, match=r"startup probe .*fail.*connection refused"):
        k8s.deploy(deaf)
    k8s.service("deaf").delete()


def test_damaged_bytes_are_refused_by_the_pod(
    k8s: Kubernetes, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    with pytest.raises(
        RolloutFailed, match=r"fetch-model failed with exit code 1: .*(?i:digest|size|sha256)"
    ):
        k8s.deploy(spec.replace(name="damaged", replicas=1, model=models["3"]))
    k8s.service("damaged").delete()


def test_another_digest_than_the_specs_is_refused_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    with pytest.raises(DigestMismatch, match="digest is sha256:"):
        k8s.deploy(spec.replace(name="other", digest="sha256:" + "0" * 64))
    assert nothing_named(k8s, "other")


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    with pytest.raises(ObjectNotFound):
        k8s.deploy(spec.replace(name="none", model=f"s3://models/{k8s.namespace}/99"))
    assert nothing_named(k8s, "none")


@pytest.mark.parametrize("data", [None, {"access-key-id": "a"}])
def test_a_storage_secret_that_is_missing_or_lacks_a_key_is_named(
    k8s: Kubernetes, spec: mlk8s.ModelService, data: dict[str, str] | None
) -> None:
    if data is not None:
        metadata = {"name": "keys", "namespace": k8s.namespace}
        k8s.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
    with pytest.raises(NotFound, match=r"Secret 'keys' (is not there|has no key secret-access-key)"):
        k8s.deploy(spec.replace(name="keyless", storage_secret="keys"))
    assert nothing_named(k8s, "keyless")


def test_somebody_elses_object_is_refused_by_its_owners_name(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    metadata = {
        "name": "taken",
        "namespace": k8s.namespace,
        "annotations": {"meta.helm.sh/release-name": "shop"},
    }
    k8s.cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
    )
    with pytest.raises(Conflict, match="Service 'taken' is there already and belongs to Helm release 'shop'"):
        k8s.deploy(spec.replace(name="taken"))
    assert nothing_named(k8s, "taken")


def test_a_field_that_somebody_else_set_is_not_taken_from_them(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    k8s.cluster.patch("Deployment", "scale", {"spec": {"replicas": 1}}, manager="somebody")
    with pytest.raises(Conflict, match="somebody") as told:
        k8s.deploy(spec)
    assert "replicas" in str(told.value)
    assert "not applied:" in str(told.value)
    k8s.cluster.apply(plan(k8s.cluster, k8s.platform, spec)[-2], force=True)


def test_missing_permissions_are_listed_and_nothing_is_written(
    local_cluster: Any, k8s: Kubernetes, spec: mlk8s.ModelService, tmp_path: Any
) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["pods", "services", "serviceaccounts"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
    ]
    path = kubeconfig_of_service_account(local_cluster, k8s.cluster, "reader", rules, tmp_path)
    reader = mlk8s.connect(kubeconfig=path, namespace=k8s.namespace)
    with pytest.raises(Forbidden, match="you may not: ") as told:
        reader.deploy(
            spec.replace(name="forbidden", image="localhost/mlk8s/x:1", storage_endpoint="http://s3:1")
        )
    assert "create, patch services" in str(told.value)
    assert "get, create, patch ingresses.networking.k8s.io" in str(told.value)
    assert "deployments" not in str(told.value)
    assert told.value.exit_code == 5
    assert nothing_named(k8s, "forbidden")


def test_a_namespace_that_is_not_there_is_made_only_when_asked_for(
    local_cluster: Any, k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    name = f"{k8s.namespace}-new"
    with pytest.raises(NotFound, match="is not there") as told:
        k8s.deploy(spec.replace(namespace=name))
    assert k8s.namespace in str(told.value)
    try:
        made = k8s.deploy(spec.replace(namespace=name, replicas=1), create_namespace=True)
        assert answer(made) == 2.0  # under Pod Security `restricted`
    finally:
        k8s.cluster.delete("Namespace", name)


def test_quota_is_told_in_the_api_servers_words(local_cluster: Any, spec: mlk8s.ModelService) -> None:
    with fresh_cluster_namespace(local_cluster, "quota") as name:
        k8s = mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=name)
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small", "namespace": name},
            "spec": {"hard": {"requests.cpu": "10m", "count/ingresses.networking.k8s.io": "0"}},
        }
        k8s.cluster.create(quota)
        wait_for(lambda: "used" in k8s.cluster.get("ResourceQuota", "small").get("status", {}))
        with pytest.raises(RolloutFailed, match=r"exceeded quota: small, requested: requests\.cpu=100m"):
            k8s.deploy(spec.replace(route=None))
        with pytest.raises(Rejected, match="exceeded quota: small, requested: count/ingresses") as told:
            k8s.deploy(spec)
        assert "applied: ServiceAccount scale" in str(told.value)
        assert "not applied: Ingress scale" in str(told.value)


def test_replicas_pass_from_the_spec_to_the_autoscaler_and_back_without_a_jump(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    # Its own controller would take back the third pod, which the test asks for in its name.
    stays = mlk8s.Behavior(select="Disabled")
    scaled = mlk8s.ModelService(
        **{key: getattr(spec, key) for key in spec.model_fields_set - {"replicas"}},
        autoscale=mlk8s.Autoscale(min=2, max=3, metric="requests_in_flight", target=50, scale_down=stays),
    )
    k8s.deploy(spec)
    before = uids(live_pods(k8s.cluster, SCALE))
    k8s.deploy(scaled)
    assert live(k8s, "HorizontalPodAutoscaler", "scale")["spec"]["minReplicas"] == 2
    k8s.deploy(scaled)
    assert uids(live_pods(k8s.cluster, SCALE)) == before
    k8s.cluster.patch("Deployment", "scale", {"spec": {"replicas": 3}}, subresource="scale", manager="hpa")
    k8s.deploy(scaled)
    assert live(k8s, "Deployment", "scale")["spec"]["replicas"] == 3
    k8s.cluster.patch(
        "Deployment",
        "scale",
        {"spec": {"replicas": 2}},
        subresource="scale",
        manager="kube-controller-manager",
    )
    k8s.deploy(spec)
    assert k8s.cluster.find("HorizontalPodAutoscaler", "scale") is None
    assert live(k8s, "Deployment", "scale")["spec"]["replicas"] == 2
    k8s.deploy(spec.replace(replicas=1))
    assert live(k8s, "Deployment", "scale")["spec"]["replicas"] == 1


def test_an_autoscaled_service_begins_with_its_minimum(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    values = {key: getattr(spec, key) for key in spec.model_fields_set - {"replicas", "name"}}
    scaled = mlk8s.ModelService(name="auto", **values, autoscale=mlk8s.Autoscale(min=2, max=3, target=50))
    deployed = k8s.deploy(scaled)
    assert deployed.status().ready == 2
    deployed.delete()


def test_an_interrupt_stops_the_waiting_only_and_says_how_to_go_on(k8s: Kubernetes, service: Service) -> None:
    said: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_rollout(k8s.cluster, "scale", k8s.namespace, timeout=10, say=said.append, check=interrupt)
    assert "goes on in the cluster" in said[-1]
    assert "rollout status deployment/scale" in said[-1]


def test_delete_leaves_nothing(k8s: Kubernetes, service: Service) -> None:
    service.delete()
    assert nothing_named(k8s, "scale")
    with pytest.raises(NotFound):
        service.delete()
