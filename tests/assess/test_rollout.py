"""Verdicts on rollouts that were recorded on a real cluster, and on variations of them."""

from __future__ import annotations

import copy
import re

import pytest

from mlk8s.assess.rollout import (
    assess_rollout,
    new_pods,
    old_version,
    pod_step,
    previous_replica_set,
    stuck_pods,
)
from tests.assess.recorded import load, rollout

FAILED = {
    "image-pull": ("ImagePull", r"absent:1 cannot be pulled: .*connection refused"),
    "init-container": ("InitContainer", r"fetch-model failed with exit code 1: Object storage refuses"),
    "crash-loop": ("CrashLoop", r"server ends as soon as it starts: exit code 3"),
    "out-of-memory": ("OutOfMemory", r"more memory than its limit \(32Mi\)"),
    "unschedulable": ("Unschedulable", r"0/1 nodes are available: 1 Insufficient nvidia\.com/gpu"),
    "quota": ("Quota", r"exceeded quota: small, requested: requests\.cpu=250m"),
    "pod-security": ("Admission", r"violates PodSecurity"),
    "missing-secret": ("Config", r'secret "absent" not found'),
    "missing-config": ("Config", r'configmap "absent" not found'),
    "startup-probe": ("Probe", r"startup probe \(.+\) fails: .*connection refused"),
    "readiness-probe": ("Probe", r"readiness probe \(.+\) fails: HTTP probe failed with statuscode: 503"),
    "old-serves": ("ImagePull", r"absent:1 cannot be pulled"),
}


@pytest.mark.parametrize("case", FAILED)
def test_the_cause_is_named_in_kubernetes_own_words(case: str) -> None:
    kind, words = FAILED[case]
    verdict = assess_rollout(rollout(case))
    assert verdict.state == "failed"
    assert verdict.cause is not None
    assert verdict.cause.kind == kind
    assert re.search(words, verdict.cause.message, re.DOTALL)
    assert verdict.cause.certain
    assert verdict.cause.remedy
    assert "mlk8s-record-" in verdict.cause.where


@pytest.mark.parametrize(
    "case", ["image-pull", "unschedulable", "quota", "missing-secret", "missing-config", "startup-probe"]
)
def test_what_may_heal_is_a_suspicion_until_its_grace_is_over(case: str) -> None:
    verdict = assess_rollout(rollout(case, earlier=60))
    assert verdict.state == "progressing"
    assert verdict.cause is not None
    assert not verdict.cause.certain


@pytest.mark.parametrize(
    "words",
    [
        "failed to sync configmap cache: timed out waiting for the condition",
        'failed to reserve container name "fetch-model_0": name is reserved for "3f2a"',
        "context deadline exceeded",
    ],
)
def test_a_node_that_is_slow_to_make_a_container_gets_the_time_to_try_again(words: str) -> None:
    facts = rollout("missing-config", earlier=-15)
    (pod,) = facts.pods
    status = next(one for one in pod["status"]["containerStatuses"] if "waiting" in one["state"])
    status["state"]["waiting"]["message"] = words
    verdict = assess_rollout(facts)
    assert verdict.state == "progressing"
    assert verdict.cause is not None
    assert (verdict.cause.id, verdict.cause.certain) == ("node-slow", False)
    late = assess_rollout(rollout("missing-config", earlier=-90, pods=facts.pods))
    assert late.cause is not None
    assert (late.state, late.cause.id) == ("failed", "node-slow")


def test_ready() -> None:
    verdict = assess_rollout(rollout("ready"))
    assert (verdict.state, verdict.ready, verdict.wanted, verdict.old) == ("ready", 1, 1, None)
    assert verdict.cause is None


def test_the_old_version_that_still_serves_is_named() -> None:
    facts = rollout("old-serves")
    assert assess_rollout(facts).old == "the old version (1), 1 pod"
    assert old_version(rollout("crash-loop")) is None
    previous = previous_replica_set(facts)
    assert previous is not None
    assert previous["metadata"]["labels"]["app.kubernetes.io/version"] == "1"
    assert previous_replica_set(rollout("ready")) is None


def test_a_generation_that_the_controller_has_not_seen_is_progress() -> None:
    found = load("crash-loop")
    found["deployment"]["metadata"]["generation"] += 1
    verdict = assess_rollout(rollout("crash-loop", deployment=found["deployment"]))
    assert (verdict.state, verdict.summary) == ("progressing", "accepted")


def test_pods_of_an_older_template_are_not_those_of_this_rollout() -> None:
    """A change of template and replicas at once: the controller first scales what was there."""
    found = load("crash-loop")
    template = found["deployment"]["spec"]["template"]
    template["spec"]["nodeSelector"] = {"new": "true"}
    verdict = assess_rollout(rollout("crash-loop", deployment=found["deployment"]))
    assert (verdict.state, verdict.summary) == ("progressing", "accepted")


def test_a_pod_that_needs_a_node_waits_for_pods_that_are_ending() -> None:
    found = load("unschedulable")
    ending = copy.deepcopy(found["pods"][0])
    ending["metadata"] |= {"uid": "other", "name": "other", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    verdict = assess_rollout(rollout("unschedulable", pods=[*found["pods"], ending]))
    assert verdict.state == "progressing"


def test_a_cluster_that_grows_gives_the_pod_more_time() -> None:
    found = load("unschedulable")
    event = {
        "reason": "TriggeredScaleUp",
        "message": "pod triggered scale-up",
        "involvedObject": {"uid": found["pods"][0]["metadata"]["uid"]},
    }
    assert assess_rollout(rollout("unschedulable", events=[event])).state == "progressing"


def test_a_pod_that_is_ending_is_no_cause() -> None:
    found = load("crash-loop")
    for pod in found["pods"]:
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert assess_rollout(rollout("crash-loop", pods=found["pods"])).cause is None


def test_a_first_crash_may_heal() -> None:
    found = load("crash-loop")
    for pod in found["pods"]:
        pod["status"]["containerStatuses"][0]["restartCount"] = 0
    verdict = assess_rollout(rollout("crash-loop", pods=found["pods"]))
    assert verdict.state == "progressing"
    assert verdict.cause is not None


def test_a_progress_deadline_names_the_best_suspicion() -> None:
    found = load("startup-probe")
    for condition in found["deployment"]["status"]["conditions"]:
        if condition["type"] == "Progressing":
            condition |= {"status": "False", "reason": "ProgressDeadlineExceeded"}
    verdict = assess_rollout(rollout("startup-probe", earlier=60, deployment=found["deployment"]))
    assert verdict.cause is not None
    assert (verdict.cause.id, verdict.cause.certain) == ("startup-probe", True)
    assert "no progress in 63 s; server runs but its startup probe (GET " in verdict.cause.message


@pytest.mark.parametrize(
    ("case", "stuck"), [("crash-loop", 1), ("image-pull", 1), ("unschedulable", 0), ("ready", 0)]
)
def test_only_failed_pods_are_stuck(case: str, stuck: int) -> None:
    assert len(stuck_pods(rollout(case))) == stuck


def test_the_log_of_a_crash_is_asked_for() -> None:
    cause = assess_rollout(rollout("crash-loop")).cause
    assert cause is not None
    assert cause.logs is not None
    assert cause.logs.container == "server"


@pytest.mark.parametrize(
    ("case", "step"),
    [
        ("unschedulable", "waiting for a node"),
        ("image-pull", "fetch-model ImagePullBackOff"),
        ("missing-secret", "node prepares the pod"),
        ("startup-probe", "server starting"),
    ],
)
def test_progress_says_how_far_a_pod_is(case: str, step: str) -> None:
    facts = rollout(case)
    assert pod_step(new_pods(facts)[0]) == step
    assert assess_rollout(facts).summary == f"0 of 1 pods ready: {step}"
