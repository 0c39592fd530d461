"""Diagnoses of faults that were recorded on a real cluster, and of variations of them."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlk8s.assess.catalogue import CAUSES, FAMILY
from mlk8s.assess.cause import Cause
from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.why.diagnose import SHORT, Absent, diagnose, everything
from mlk8s.assess.why.facts import Diagnosis, Facts, Wanted
from mlk8s.assess.why.scheduling import unscheduled
from mlk8s.assess.why.selecting import tolerated
from tests.assess.recorded import why

NAMED = {
    "cpu": ("insufficient-cpu", r"requests 64 cpu, and no node has as much", r"at most 2 cpu"),
    "gpu": ("insufficient-device", r"requests 9 nvidia.com/gpu", r"at most 2 nvidia.com/gpu"),
    "node-selector": ("node-selector", r"no node has the label gpu-type=a100", r"node \S+ gpu-type=a100"),
    "class-missing": ("class-missing", r"there is no StorageClass 'fast' \(classes: ", r"make it anew"),
    "access-mode": ("access-mode", r"no volume offers ReadWriteMany", r"access mode that the volume has"),
    "pod-security": ("pod-security", r'violates PodSecurity "restricted', r"must set"),
    "limit-range": ("limit-range", r"maximum memory usage per Container is 32Mi", r"at most 32Mi"),
    "webhook": ("webhook-unreachable", r'failed calling webhook "check.example.com"', r"Service back"),
    "image-not-found": ("image-not-found", r"team/model:1 cannot be pulled: .*not found", r"name and tag"),
    "image-unauthorized": ("image-unauthorized", r"401 Unauthorized", r"imagePullSecrets"),
    "mounted-key": ("missing-key", r"non-existent secret key: password", r"add the key password"),
    "exit-0": ("exits-cleanly", r"exit code 0.*its last words: 'done'", r"run it as a Job"),
    "command": ("command-not-found", r'"serve-it": executable file not found', r"command of container main"),
    "init-oom": ("out-of-memory", r"init container load was killed .*\(64Mi\)", r"of load above 64Mi"),
    "init-fails": ("init-failed", r"wait failed with exit code 7", r"kubectl logs \S+ -c wait"),
    "liveness": ("liveness-probe", r"GET /alive on port 8080\) failed: .*refused", r"livenessProbe"),
    "hpa-no-scrape": ("hpa-no-scrape", r"prometheus.io/scrape is not there", r"annotate the pod template"),
    "hpa-target-down": ("hpa-target-down", r"cannot scrape pod \S+ at \S+:9999", r"prometheus.io/port"),
    "hpa-no-series": ("hpa-no-series", r"no series requests_in_flight_seconds", r"let the server count"),
    "hpa-no-rule": ("hpa-no-rule", r"no rule that makes tokens_per_second; it makes", r"ConfigMap"),
    "hpa-no-request": ("hpa-no-request", r"container main of its pods requests none", r"requests.cpu"),
    "hpa-at-max": ("hpa-at-max", r"maximum of 1 replicas: requests_in_flight is \d+", r"above 1"),
    "keda-query": ("keda-query", r"refuses .*sum\(rate\(x: .*unclosed left parenthesis", r"metadata.query"),
    "keda-no-value": ("keda-no-value", r"sum\(absent_total\) has no value", r"series and labels"),
    "keda-unreachable": ("keda-unreachable", r"http://absent\S+:9090: .*no such host", r"address"),
    "keda-paused": ("keda-paused", r"paused at 1 replicas", r"keda.sh/paused-replicas-`"),
    "vpa-no-target": ("vpa-no-target", r"Deployment \S+/y does not exist", r"spec.targetRef"),
    "vpa-few-replicas": ("vpa-few-replicas", r"requests cpu 5m, .*fewer than 2 run", r"minReplicas"),
    "service-port": ("service-port", r"port 8000 of Service x, which has: http 80", r"backend's port"),
    "selector": ("selector-mismatch", r"app=y matches no pod; the nearest, pod \S+, has app=x", r"app=x"),
    "network-policy": ("network-policy", r"NetworkPolicy closed admits nothing", r"on port 8080"),
    "job": ("job-failed", r"all 2 attempts failed.*exit code 5.*'no such column'", r"log lines"),
    "cron-schedule": ("cron-schedule", r"'0 0 31 2 \*' never comes", r"spec.schedule"),
    "budget": ("disruption-budget", r"1 of 1 pods are healthy and minAvailable 1", r"add a replica"),
    "finalizer": ("finalizer", r"example.com/keep still holds it", r"kubectl patch pod x"),
}  # fmt: skip


def ask(case: str, **changes: Any) -> Diagnosis:
    """Return the diagnosis of a recorded case."""
    wanted, facts = why(case, **changes)
    word, slash, name = wanted.rpartition("/")
    return diagnose(SHORT[word] if slash else None, name, facts)


def facts_of(case: str) -> Facts:
    return why(case)[1]


def first(case: str, kind: str) -> Any:
    """Return a copy of the first object of a kind."""
    return copy.deepcopy(facts_of(case).of(kind)[0])


@pytest.mark.parametrize("case", NAMED)
def test_the_cause_and_a_concrete_remedy_are_named(case: str) -> None:
    key, words, remedy = NAMED[case]
    found = ask(case)
    assert found.id == key
    assert found.state == "broken"
    assert re.search(words, found.summary, re.DOTALL), found.summary
    assert found.remedy is not None
    assert re.search(remedy, found.remedy), found.remedy
    assert found.cause is not None
    assert found.cause.certain
    assert str(found).count("\n") == 1


def test_every_cause_has_a_family_and_a_line_in_the_guide() -> None:
    guide = Path(__file__).parents[2].joinpath("docs/guide/why.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", guide, re.MULTILINE))
    assert rows == CAUSES
    assert set(FAMILY) == set(CAUSES)
    with pytest.raises(KeyError):
        _ = Cause("no-such-cause", "", "", "").kind


def test_a_rule_asks_for_what_it_has_not_seen() -> None:
    wanted, facts = why("cpu")
    known = {key: items for key, items in facts.found.items() if key not in ("Node", "*/Pod")}
    with pytest.raises(Wanted) as asked:
        diagnose(
            "Pod", wanted.rpartition("/")[2], Facts(namespace=facts.namespace, now=facts.now, found=known)
        )
    assert asked.value.keys == ("Node", "*/Pod")


def test_an_object_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(Absent) as absent:
        diagnose("Pod", "y", facts_of("cpu"))
    assert absent.value.near == ("x",)


def test_the_nearest_node_and_who_holds_its_room_are_told() -> None:
    pod = first("cpu", "Pod")
    node = first("cpu", "Node")
    node["status"]["allocatable"]["cpu"] = "100"
    holder = copy.deepcopy(pod)
    holder["metadata"] |= {"name": "big", "uid": "2"}
    holder["spec"]["nodeName"] = node["metadata"]["name"]
    holder["status"] = {"phase": "Running"}
    found = ask("cpu", Node=[node], **{"*/Pod": [pod, holder]})
    assert f"the nearest, {node['metadata']['name']}, has 36 of 100 free" in found.summary
    assert any("/big holds 64" in line for line in found.evidence)
    assert "at most 36 cpu" in str(found.remedy)


def test_a_missing_metrics_api_is_the_broken_link() -> None:
    services = [
        item
        for item in facts_of("hpa-no-rule").of("APIService")
        if item["spec"]["group"] != "custom.metrics.k8s.io"
    ]
    found = ask("hpa-no-rule", APIService=services)
    assert found.id == "hpa-api-missing"
    assert "custom.metrics.k8s.io" in found.summary


def test_a_metrics_api_that_is_down_is_the_broken_link() -> None:
    services = copy.deepcopy(list(facts_of("hpa-no-rule").of("APIService")))
    for item in services:
        for condition in item["status"]["conditions"]:
            condition |= {"status": "False", "reason": "MissingEndpoints", "message": "no endpoints"}
    found = ask("hpa-no-rule", APIService=services)
    assert found.id == "hpa-api-down"
    assert "mlk8s why service/prometheus-adapter" in str(found.remedy)


def test_a_policy_that_admits_the_ingress_controller_blocks_nothing() -> None:
    policy = first("network-policy", "NetworkPolicy")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlk8s-system"}}}
    policy["spec"]["ingress"] = [{"from": [peer], "ports": [{"port": 8080}]}]
    assert ask("network-policy", NetworkPolicy=[policy]).state == "healthy"
    policy["spec"]["ingress"][0]["ports"] = [{"port": 8081}]
    assert ask("network-policy", NetworkPolicy=[policy]).id == "network-policy"


@pytest.mark.parametrize("words", ["untolerated taint {gpu: a100}", "untolerated taint(s)"])
def test_a_taint_is_told_with_the_toleration_for_it(words: str) -> None:
    pod, node = first("cpu", "Pod"), first("cpu", "Node")
    node["spec"]["taints"] = [{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]
    for condition in pod["status"]["conditions"]:
        condition["message"] = f"0/1 nodes are available: 1 node(s) had {words}. preemption: none"
    found = ask("cpu", Pod=[pod], Node=[node])
    assert found.id == "untolerated-taint"
    assert "has the taint gpu=a100:NoSchedule" in found.summary
    assert "{key: gpu, value: a100, effect: NoSchedule}" in str(found.remedy)


@pytest.mark.parametrize(
    ("toleration", "does"),
    [
        ({"key": "gpu", "value": "a100"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "h100"}, False),
        ({"key": "gpu", "value": "a100", "effect": "NoExecute"}, False),
        ({"key": "team", "operator": "Exists"}, False),
    ],
)
def test_what_a_toleration_covers(toleration: dict[str, str], does: bool) -> None:
    taint = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}
    assert tolerated({"spec": {"tolerations": [toleration]}}, taint) is does


def test_a_pod_of_a_node_that_is_gone() -> None:
    pod, node = first("network-policy", "Pod"), first("cpu", "Node")
    for condition in pod["status"]["conditions"]:
        condition["status"] = "False" if condition["type"] == "Ready" else condition["status"]
    for status in pod["status"]["containerStatuses"]:
        status["ready"] = True
    node["metadata"]["name"] = pod["spec"]["nodeName"]
    for condition in node["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition |= {"status": "Unknown", "message": "Kubelet stopped posting node status."}
    _, facts = why("network-policy", Pod=[pod], Node=[node])
    found = diagnose("Pod", pod["metadata"]["name"], facts)
    assert found.id == "node-lost"
    assert "Kubelet stopped posting" in found.summary


def test_a_killed_container_counts_as_out_of_memory_unless_the_kubelet_killed_it() -> None:
    deployment = facts_of("init-oom")
    pods = copy.deepcopy(list(deployment.of("Pod")))
    for pod in pods:
        for status in pod["status"]["initContainerStatuses"]:
            for state in (status["state"], status["lastState"]):
                for end in state.values():
                    end["reason"] = "Error" if end.get("reason") == "OOMKilled" else end.get("reason")
    assert ask("init-oom", Pod=pods).id == "out-of-memory"
    uid = pods[0]["metadata"]["uid"]
    killing = {"reason": "Killing", "message": "Stopping container load", "involvedObject": {"uid": uid}}
    assert ask("init-oom", Pod=pods, Event=[*deployment.events, killing]).id == "init-failed"


def test_the_whole_namespace_tells_each_cause_once() -> None:
    _, facts = why("selector")
    empty: dict[str, list[Any]] = {key: [] for key in (
        "StatefulSet", "DaemonSet", "CronJob", "Job", "HorizontalPodAutoscaler", "PersistentVolumeClaim",
        "ReplicaSet", "PodDisruptionBudget", "Deployment", "HTTPRoute",
    )}  # fmt: skip
    _, facts = why("selector", **(empty | {key: facts.found[key] for key in facts.found if facts.found[key]}))
    found = [item for item in everything(facts) if item.cause is not None]
    assert [item.id for item in found] == ["selector-mismatch"]


def test_what_is_behind_a_service_and_an_autoscaler_is_told_once() -> None:
    deployment = first("hpa-no-scrape", "Deployment")
    deployment["spec"]["replicas"] = deployment["status"]["replicas"] = 0
    deployment["status"] |= {"updatedReplicas": 0, "availableReplicas": 0, "readyReplicas": 0}
    service = {
        "metadata": {"name": "x", "namespace": deployment["metadata"]["namespace"]},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
    }
    empty: dict[str, list[Any]] = {key: [] for key in (
        "StatefulSet", "DaemonSet", "CronJob", "Job", "PersistentVolumeClaim", "PodDisruptionBudget",
        "Ingress", "HTTPRoute", "EndpointSlice", "Pod",
    )}  # fmt: skip
    _, facts = why("hpa-no-scrape", **empty, Deployment=[deployment], Service=[service])
    found = {item.object.partition(" ")[0]: item.id for item in everything(facts) if item.cause is not None}
    assert found == {"deployment": "scaled-to-zero"}
    assert diagnose("HorizontalPodAutoscaler", "x", facts).id == "hpa-disabled"
    assert diagnose("Service", "x", facts).id == "scaled-to-zero"


def test_a_services_name_means_the_autoscaler_of_its_other_colour_too() -> None:
    labels = {"app.kubernetes.io/name": "x", "app.kubernetes.io/managed-by": "mlk8s"}
    deployment, scaler = (first("hpa-no-scrape", kind) for kind in ("Deployment", "HorizontalPodAutoscaler"))
    for item in (deployment, scaler):
        item["metadata"] |= {"labels": labels}
    scaler["metadata"]["name"] = "x-green"
    empty: dict[str, list[Any]] = {key: [] for key in (
        "DaemonSet", "CronJob", "Job", "PersistentVolumeClaim", "PodDisruptionBudget", "Service", "Ingress",
        "HTTPRoute",
    )}  # fmt: skip
    _, facts = why("hpa-no-scrape", **empty, Deployment=[deployment], HorizontalPodAutoscaler=[scaler])
    assert diagnose(None, "x", facts).id == "hpa-no-scrape"
    scaler["metadata"]["labels"] = {}
    assert diagnose(None, "x", facts).cause is None


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        ('Back-off pulling image "a": ErrImagePull: failed to pull and unpack image "docker.io/library/a": '
         'failed to resolve reference "docker.io/library/a": ', "failed to do request: no such host"),
        ('failed to pull and unpack image "r.io/a:1": ', "no match for platform in manifest: not found"),
        ("", "manifest unknown"),
    ],
)  # fmt: skip
def test_an_images_chain_of_errors_is_told_by_its_end(chain: str, told: str) -> None:
    pod = copy.deepcopy(facts_of("image-not-found").one("Pod", "x"))
    assert pod is not None
    waiting = {"reason": "ErrImagePull", "message": chain + told}
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
    image = pod["spec"]["containers"][0]["image"]
    assert ask("image-not-found", Pod=[pod]).summary == f"image {image} cannot be pulled: {told}"


def test_what_keda_lets_sleep_is_well_until_keda_fails() -> None:
    deployment, scaled = first("keda-no-value", "Deployment"), first("keda-no-value", "ScaledObject")
    deployment["spec"]["replicas"] = deployment["status"]["replicas"] = 0
    deployment["status"] |= {"updatedReplicas": 0, "availableReplicas": 0, "readyReplicas": 0}
    scaled["spec"]["minReplicaCount"] = 0
    service = {
        "metadata": {"name": "x", "namespace": deployment["metadata"]["namespace"]},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
    }
    rest: dict[str, Any] = {"Deployment": [deployment], "Pod": [], "Service": [service], "EndpointSlice": []}
    _, facts = why("keda-no-value", **rest, ScaledObject=[scaled])
    found = [diagnose(kind, "x", facts) for kind in ("Deployment", "Service", "ScaledObject")]
    assert [item.state for item in found] == ["healthy"] * 3
    assert "until a trigger of ScaledObject x wakes it" in found[0].summary
    hpa = first("keda-no-value", "HorizontalPodAutoscaler")
    asleep = diagnose("HorizontalPodAutoscaler", hpa["metadata"]["name"], facts)
    assert (asleep.state, asleep.id) == ("healthy", None), "that an HPA is off at 0 replicas is its way"
    for item in scaled["status"]["conditions"]:
        if item["type"] == "Ready":
            item |= {"status": "False", "reason": "TriggerError", "message": "Triggers are not working"}
    _, facts = why("keda-no-value", **rest, ScaledObject=[scaled])
    assert {diagnose(kind, "x", facts).id for kind in ("Deployment", "Service")} == {"keda-trigger"}
    scaled["spec"]["minReplicaCount"] = 1
    _, facts = why("keda-no-value", **rest, ScaledObject=[scaled])
    assert diagnose("Deployment", "x", facts).id == "scaled-to-zero"


def test_an_error_of_the_scheduler_is_no_reason_while_it_tries_again() -> None:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    words = 'running PreBind plugin "VolumeBinding": Operation cannot be fulfilled on persistentvolumeclaims'
    state = {"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": words}
    pod = {
        "metadata": {"name": "x", "namespace": "y", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": []},
        "status": {"conditions": [state]},
    }
    for reason, seconds, certain in (
        ("SchedulerError", 20, False), ("SchedulerError", 90, True), ("Unschedulable", 20, True),
    ):  # fmt: skip
        state["reason"] = reason
        (cause,) = unscheduled(pod, [], created + timedelta(seconds=seconds), crowded=False)
        assert cause.certain == certain, (reason, seconds)


def test_parts_of_vpa_that_are_gone_are_named() -> None:
    assert ask("vpa-few-replicas", **{"*/Pod": []}).id == "vpa-no-updater"
    assert ask("vpa-few-replicas", MutatingWebhookConfiguration=[]).id == "vpa-no-admission"
    down = {
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "service": {"namespace": "system", "name": "metrics"}},
        "status": {"conditions": [{"type": "Available", "status": "False", "message": "no endpoints"}]},
    }
    assert ask("vpa-few-replicas", APIService=[down]).id == "vpa-no-metrics"
    unseen = Unknown("may not be listed")
    found = ask("vpa-few-replicas", MutatingWebhookConfiguration=unseen, **{"*/Pod": unseen})
    assert found.id == "vpa-few-replicas"  # what may not be seen is not missing
    vertical = first("vpa-few-replicas", "VerticalPodAutoscaler")
    vertical["spec"]["updatePolicy"]["updateMode"] = "Off"
    assert "its mode Off applies nothing" in ask("vpa-few-replicas", VerticalPodAutoscaler=[vertical]).summary
    del vertical["status"]
    assert ask("vpa-few-replicas", VerticalPodAutoscaler=[vertical]).state == "starting"


def test_a_probe_that_has_not_answered_yet_is_a_start() -> None:
    events = [
        event for event in facts_of("liveness").events if event["reason"] not in ("Unhealthy", "Killing")
    ]
    pod = first("liveness", "Pod")
    for status in pod["status"]["containerStatuses"]:
        status |= {"ready": False, "started": False, "restartCount": 0, "lastState": {}}
        status["state"] = {"running": {"startedAt": facts_of("liveness").now.isoformat()}}
    for condition in pod["status"]["conditions"]:
        condition["status"] = "False" if condition["type"] in ("Ready", "ContainersReady") else "True"
    pod["spec"]["containers"][0]["startupProbe"] = {"httpGet": {"port": 8080}}
    deployment = first("liveness", "Deployment")
    deployment["status"] |= {"availableReplicas": 0, "readyReplicas": 0}
    found = ask("liveness", Deployment=[deployment], Pod=[pod], Event=events, Node=[])
    assert found.state == "starting"
    assert found.summary.startswith("nothing is wrong so far")


@pytest.mark.parametrize(
    ("healthy", "policy", "state"),
    [(0, "AlwaysAllow", "starting"), (0, "IfHealthyBudget", "broken"), (1, None, "broken")],
)
def test_a_budget_that_lets_unhealthy_pods_go_blocks_nothing(
    healthy: int, policy: str | None, state: str
) -> None:
    budget = first("budget", "PodDisruptionBudget")
    budget["status"] |= {"currentHealthy": healthy, "desiredHealthy": 1, "disruptionsAllowed": 0}
    budget["spec"]["unhealthyPodEvictionPolicy"] = policy
    assert ask("budget", PodDisruptionBudget=[budget]).state == state


def test_a_namespace_that_is_just_being_deleted_is_no_fault() -> None:
    facts = facts_of("selector")
    namespace = copy.deepcopy(facts.one("Namespace", facts.namespace))
    assert namespace is not None
    ending = dict(namespace) | {"metadata": dict(namespace["metadata"])}
    ending["metadata"]["deletionTimestamp"] = facts.now.isoformat()
    nothing: dict[str, list[Any]] = {"PersistentVolumeClaim": [], "Job": [], "ConfigMap": []}
    found = ask("selector", Namespace=[ending], **nothing)
    assert (found.state, found.cause) == ("starting", None)
    assert "is being deleted" in found.summary
