"""StatefulSets, DaemonSets, JobSets and the log collector: hardened, selected by what stays, lint-free."""

from __future__ import annotations

import pytest

import mlk8s
from mlk8s.assess.lint import lint
from mlk8s.errors import UsageError
from mlk8s.render.common import Manifest
from mlk8s.render.objects import kinds, render
from mlk8s.spec.base import Spec
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.volume import Volume
from tests.render.cases import FACTS, JOB
from tests.render.test_invariants import assert_restricted

ASKED = Probes(readiness=Probe(http_get="/ready"), liveness=Probe(tcp=True))
MAIN = Container("main", "registry/app:1", ports={"http": 8080}, probes=ASKED)
BATCH = Container("main", "registry/app:1")
SPECS: dict[str, Spec] = {
    "stateful": mlk8s.StatefulSet(
        name="a", replicas=3, containers=(MAIN,), storage=(Volume(name="data", size="1Gi", retain=False),)
    ),
    "daemon": mlk8s.DaemonSet(name="a", containers=(MAIN,), allow_from=("web",), allow_to=("db",)),
    "job-set": mlk8s.FeatureJobSet(
        name="a",
        roles=(
            mlk8s.JobRole(name="driver", containers=(BATCH,)),
            mlk8s.JobRole(name="worker", containers=(BATCH,), pods=2),
        ),
        queue="team",
    ),
}


def of(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [item for item in manifests if item["kind"] == kind]
    return found


def templates(manifests: list[Manifest]) -> list[Manifest]:
    found = [item["spec"]["template"] for item in manifests if item["kind"] in ("StatefulSet", "DaemonSet")]
    for item in manifests:
        if item["kind"] == "JobSet":
            found += [role["template"]["spec"]["template"] for role in item["spec"]["replicatedJobs"]]
    return found


@pytest.mark.parametrize("name", SPECS)
def test_pods_pass_the_restricted_standard(name: str) -> None:
    spec = SPECS[name].replace(storage=()) if name == "stateful" else SPECS[name]
    found = templates(render(spec, FACTS))
    assert found
    for template in found:
        assert_restricted(template)
        assert template["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("spec", [*SPECS.values(), mlk8s.LogCollector()])
def test_nothing_is_found_by_the_linter(spec: Spec) -> None:
    assert lint(render(spec, FACTS)) == []


@pytest.mark.parametrize("name", ["stateful", "daemon"])
def test_selectors_match_the_pods_and_every_object_says_who_declared_it(name: str) -> None:
    manifests = render(SPECS[name], FACTS)
    workload = manifests[-1]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    policy = of(manifests, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {item["metadata"]["labels"]["mlk8s.dev/kind"] for item in manifests} == {workload["kind"]}
    assert "mlk8s.dev/kind" not in labels


def test_claims_follow_the_retention_policy() -> None:
    body = of(render(SPECS["stateful"], FACTS), "StatefulSet")["spec"]
    assert body["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Retain"}
    (claim,) = body["volumeClaimTemplates"]
    assert "mlk8s.dev/kind" not in claim["metadata"]["labels"], "an apply must never remove data"
    mounts = body["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "data", "mountPath": "/volumes/data"} in mounts


def test_only_the_collector_has_a_host_path_and_only_to_read() -> None:
    manifests = render(mlk8s.LogCollector(), FACTS)
    pod = of(manifests, "DaemonSet")["spec"]["template"]["spec"]
    paths = [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    assert paths == ["/var/log/pods"]
    assert pod["securityContext"]["runAsUser"] != 0
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "pod-logs"]
    assert mount["readOnly"] is True
    levels = of(manifests, "Namespace")["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_what_has_operations_of_its_own_is_not_applied_like_an_object() -> None:
    assert "FeatureJob" not in kinds()
    with pytest.raises(UsageError, match="FeatureJob is no kind that can be applied"):
        render(JOB, FACTS)
