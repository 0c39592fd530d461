"""What holds for every spec: hardening, matching selectors, one source of replicas."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.errors import UsageError
from mlk8s.render.bundle import apply_order, to_yaml
from mlk8s.render.common import Identity, label_value
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import job_name, render_cron_job, render_job
from mlk8s.render.metrics import quantity
from mlk8s.render.service import render_service, render_workload
from mlk8s.render.stored import dump_spec, stored_spec
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.fields import _LABEL_VALUE, parse_quantity
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.service import ModelService, Route
from tests.render.cases import CRON, FACTS, INSIDE, JOB, OUTSIDE, PLAIN, SCALED

autoscales = st.builds(
    lambda low, more, metric, target: Autoscale(min=low, max=low + more, metric=metric, target=target),
    st.integers(1, 50),
    st.integers(0, 50),
    st.sampled_from(["requests_in_flight", "requests_per_second", "cpu", "memory"]),
    st.floats(1, 1000),
)


@st.composite
def services(draw: st.DrawFn) -> ModelService:
    values: dict[str, Any] = {
        "name": draw(st.from_regex(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?", fullmatch=True)),
        "model": "s3://models/m/" + draw(st.from_regex(r"[A-Za-z0-9._=-]{1,80}", fullmatch=True)),
        "gpu": draw(st.none() | st.builds(Gpu, st.integers(1, 8))),
        "route": draw(st.sampled_from([None, Route(), Route(path="/"), Route(host="a.example.com")])),
        "startup_timeout": draw(st.floats(1, 3600)),
        "request_timeout": draw(st.floats(1, 600)),
        "resources": draw(st.sampled_from([Resources(), Resources(cpu_limit=None, memory_limit="1Gi")])),
    }
    autoscale = draw(st.none() | autoscales)
    values |= {"replicas": draw(st.integers(1, 20))} if autoscale is None else {"autoscale": autoscale}
    return ModelService(**values)


def by_kind(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in manifests}


def pods(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pod templates of the manifests."""
    found = []
    for item in manifests:
        if item["kind"] in ("Deployment", "Job"):
            found.append(item["spec"]["template"])
        if item["kind"] == "CronJob":
            found.append(item["spec"]["jobTemplate"]["spec"]["template"])
    return found


def assert_restricted(template: dict[str, Any]) -> None:
    """Pod Security Standard `restricted`, https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret"}
        if "emptyDir" in volume:
            assert parse_quantity(volume["emptyDir"]["sizeLimit"]) > 0
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["requests"])
        assert {"memory", "ephemeral-storage"} <= set(container["resources"]["limits"])
        assert not any(
            "valueFrom" in e and "secretKeyRef" in e["valueFrom"] for e in container.get("env", [])
        )
        assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


@given(services())
def test_every_service_is_hardened_and_consistent(spec: ModelService) -> None:
    manifests = render_service(spec, FACTS)
    kinds = by_kind(manifests)
    deployment = kinds["Deployment"]
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert_restricted(template)
    for item in manifests:
        assert len(item["metadata"]["name"]) <= 63
        assert item["metadata"]["namespace"] == "team"
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mlk8s"
        assert all(_LABEL_VALUE.fullmatch(value) for value in item["metadata"]["labels"].values())
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert ("replicas" in deployment["spec"]) == (spec.autoscale is None)
    assert ("HorizontalPodAutoscaler" in kinds) == (spec.autoscale is not None)
    assert ("Ingress" in kinds) == (spec.route is not None)
    grace = template["spec"]["terminationGracePeriodSeconds"]
    stop = template["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace > stop + spec.request_timeout
    startup = template["spec"]["containers"][0]["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] >= spec.startup_timeout
    resources = template["spec"]["containers"][0]["resources"]
    if spec.gpu is not None:
        assert resources["requests"][spec.gpu.resource] == resources["limits"][spec.gpu.resource]
        assert template["spec"]["nodeSelector"] == spec.gpu.node_selector


@given(services())
def test_a_stored_spec_is_the_spec(spec: ModelService) -> None:
    deployment = by_kind(render_service(spec, FACTS))["Deployment"]
    assert stored_spec(deployment) == spec
    assert dump_spec(spec) == deployment["metadata"]["annotations"]["mlk8s.dev/spec"]


def test_no_stored_spec_is_none() -> None:
    assert stored_spec({"metadata": {}}) is None


@pytest.mark.parametrize("template", pods(render_job(JOB, FACTS)) + pods(render_cron_job(CRON, FACTS)))
def test_every_pipeline_is_hardened(template: dict[str, Any]) -> None:
    assert_restricted(template)
    assert template["spec"]["restartPolicy"] == "Never"


def test_a_change_of_the_model_changes_the_config_and_so_the_pods() -> None:
    one, two = (by_kind(render_service(s, FACTS)) for s in (PLAIN, PLAIN.replace(model="s3://models/iris/2")))
    assert one["ConfigMap"]["metadata"]["name"] != two["ConfigMap"]["metadata"]["name"]
    assert one["Deployment"]["spec"]["template"] != two["Deployment"]["spec"]["template"]
    assert one["ConfigMap"]["immutable"] is True


def test_more_replicas_leave_the_pods_alone() -> None:
    one, two = (by_kind(render_service(s, FACTS)) for s in (PLAIN, PLAIN.replace(replicas=5)))
    assert one["Deployment"]["spec"]["template"] == two["Deployment"]["spec"]["template"]
    assert one["ConfigMap"] == two["ConfigMap"]


def test_the_canarys_pods_are_not_the_stable_services() -> None:
    canary = by_kind(render_workload(PLAIN, FACTS, Identity("iris", "canary"), 1))
    stable = by_kind(render_service(PLAIN, FACTS))
    labels = canary["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert not stable["Service"]["spec"]["selector"].items() <= labels.items()
    assert stable["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert canary["Deployment"]["metadata"]["name"] == "iris-canary"


def test_users_labels_cannot_take_the_selectors_place() -> None:
    spec = PLAIN.replace(labels={"app.kubernetes.io/name": "other", "team": "a"})
    labels = by_kind(render_service(spec, FACTS))["Deployment"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "iris"
    assert labels["team"] == "a"


def test_only_the_ingress_and_prometheus_may_call_a_routed_service() -> None:
    rules = by_kind(render_service(PLAIN, FACTS))["NetworkPolicy"]["spec"]["ingress"]
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlk8s-system"}}}]
    assert rules == [{"from": peers, "ports": [{"protocol": "TCP", "port": 8080}]}]


def test_a_service_without_a_route_is_for_its_namespace() -> None:
    rules = by_kind(render_service(INSIDE, FACTS))["NetworkPolicy"]["spec"]["ingress"]
    assert {"podSelector": {}} in rules[0]["from"]


def test_storage_outside_is_reached_by_its_port_only() -> None:
    egress = by_kind(render_service(OUTSIDE, FACTS))["NetworkPolicy"]["spec"]["egress"]
    assert egress[-1]["ports"] == [{"protocol": "TCP", "port": 443}]
    assert {"ipBlock": {"cidr": "0.0.0.0/0"}} in egress[-1]["to"]


def test_another_storage_in_the_cluster_is_reached_in_its_namespace() -> None:
    spec = PLAIN.replace(storage_endpoint="http://minio.data.svc.cluster.local:9000")
    egress = by_kind(render_service(spec, FACTS))["NetworkPolicy"]["spec"]["egress"]
    assert egress[-1] == {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}}]
    }


@pytest.mark.parametrize("kind", ["storage", "image"])
def test_what_nobody_names_is_an_error_that_says_so(kind: str) -> None:
    facts = RenderFacts(namespace="team", storage_endpoint=None if kind == "storage" else "http://s3:1")
    with pytest.raises(UsageError, match="object storage" if kind == "storage" else "image"):
        render_service(PLAIN, facts)


def test_the_same_work_has_the_same_job_name() -> None:
    assert job_name(JOB, FACTS) == job_name(JOB.replace(labels={"a": "b"}), FACTS)
    for change in (
        {"version": "2026-11-24"},
        {"parameters": {"rows": 6}},
        {"source": JOB.source + "\n"},
        {"output": "s3://features/other"},
    ):
        assert job_name(JOB.replace(**change), FACTS) != job_name(JOB, FACTS)


def test_a_cron_jobs_template_has_no_time_to_live() -> None:
    cron = by_kind(render_cron_job(CRON, FACTS))["CronJob"]
    assert "ttlSecondsAfterFinished" not in cron["spec"]["jobTemplate"]["spec"]
    assert by_kind(render_job(JOB, FACTS))["Job"]["spec"]["ttlSecondsAfterFinished"] == 3600


@given(st.floats(0.001, 1e6))
def test_a_quantity_is_the_number_to_a_thousandth(value: float) -> None:
    assert abs(float(parse_quantity(quantity(value))) - value) <= 0.0005 + 1e-9 * value


@given(st.text(max_size=100))
def test_any_text_becomes_a_label_value(text: str) -> None:
    assert _LABEL_VALUE.fullmatch(label_value(text))


def test_yaml_is_in_apply_order_and_reads_back() -> None:
    manifests = render_service(SCALED, FACTS)
    kinds = [item["kind"] for item in manifests]
    assert kinds.index("ConfigMap") < kinds.index("Deployment") < kinds.index("HorizontalPodAutoscaler")
    assert kinds.index("NetworkPolicy") < kinds.index("Deployment")
    assert kinds[-1] == "Ingress"
    assert list(yaml.safe_load_all(to_yaml(manifests[::-1]))) == apply_order(manifests[::-1])
