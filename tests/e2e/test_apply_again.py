"""An apply of what is there changes nothing: no generation, no resourceVersion; `diff` relies on it."""

from __future__ import annotations

from typing import Any

import pytest

import mlk8s
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.facts import render_facts
from mlk8s.render.job import render_cron_job
from mlk8s.render.objects import render
from mlk8s.render.service import render_service
from mlk8s.spec.base import Spec

# Wherever there could be an empty list: without a route, ports, inputs or anything that is allowed.
SOURCE = "def build():\n    return {'x': [1]}\n"
CRON = mlk8s.FeatureCronJob(
    job=mlk8s.FeatureJob(name="nightly", source=SOURCE, output="s3://features/again"),
    schedule="15 3 * * *", time_zone="Europe/Berlin", suspend=True,
)  # fmt: skip
IDLE = mlk8s.Container("main", "registry/app:1")
NOTHING = mlk8s.Allow(dns=False, storage=False, ingress=False, prometheus=False, inside=False)


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


def versions(k8s: Kubernetes, manifests: list[dict[str, Any]]) -> dict[str, tuple[int | None, str]]:
    """Apply manifests; return the generation and the resourceVersion of each object."""
    found = {}
    for item in manifests:
        metadata = k8s.cluster.apply(item)["metadata"]
        found[f"{item['kind']}/{metadata['name']}"] = (
            metadata.get("generation"), metadata["resourceVersion"],
        )  # fmt: skip
    return found


def test_a_cron_job_applied_again_is_not_touched(k8s: Kubernetes) -> None:
    k8s.apply_cron(CRON)
    rendered = render_cron_job(CRON, render_facts(k8s.platform, k8s.namespace))
    kinds = {(item["kind"], item["metadata"]["name"]) for item in rendered}
    assert {kind for kind, _ in kinds} == {"ServiceAccount", "ConfigMap", "NetworkPolicy", "CronJob"}
    seen = []
    for _ in range(3):
        metadata = [k8s.cluster.get(kind, name)["metadata"] for kind, name in sorted(kinds)]
        seen.append([(item["name"], item.get("generation"), item["resourceVersion"]) for item in metadata])
        k8s.apply_cron(CRON)
    assert seen[0] == seen[1] == seen[2]
    assert k8s.diff(CRON) == []


@pytest.mark.parametrize(
    "spec",
    [
        mlk8s.ModelService(name="inner", model="s3://models/a/1", route=None, digest="sha256:" + "ab" * 32),
        mlk8s.StatefulSet(name="still", replicas=0, containers=IDLE),
        mlk8s.DaemonSet(
            name="nowhere", containers=IDLE, scheduling=mlk8s.Scheduling(node_selector={"no": "node"})
        ),
        mlk8s.ExternalName(name="outside", host="example.com"),
        mlk8s.Volume(name="kept", size="1Mi"),
    ],
    ids=lambda spec: type(spec).__name__,
)
def test_no_object_of_ours_changes_when_it_is_applied_again(k8s: Kubernetes, spec: Spec) -> None:
    facts = render_facts(k8s.platform, k8s.namespace)
    found = render_service(spec, facts) if isinstance(spec, mlk8s.ModelService) else render(spec, facts)
    for item in found:
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = 0
    first = versions(k8s, found)
    for _ in range(2):
        again = versions(k8s, found)
        # Controllers write status meanwhile, which is another resourceVersion and no generation.
        assert {name: item[0] for name, item in again.items()} == {n: item[0] for n, item in first.items()}
        quiet = ("NetworkPolicy", "ConfigMap", "ServiceAccount", "Service")
        assert {n: v for n, v in again.items() if n.startswith(quiet)} == {
            n: v for n, v in first.items() if n.startswith(quiet)
        }


def test_a_closed_tenants_policies_do_not_change_either(k8s: Kubernetes, namespace: str) -> None:
    tenant = mlk8s.Tenant(name=namespace, allow=NOTHING)
    made = render(tenant, render_facts(k8s.platform, namespace))
    policies = [item for item in made if item["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    assert versions(k8s, policies) == versions(k8s, policies) == versions(k8s, policies)
