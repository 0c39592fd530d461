"""Verdicts on Jobs that were recorded on a real cluster, and on variations of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mlk8s.assess.job import assess_job
from tests.assess.recorded import job, load

FAILED = {
    "job-user-error": ("Pipeline", r"exit code 64: build\(\) failed: ValueError: no such column", 1),
    "job-retries": ("Pipeline", r"all 2 attempts failed; the last one: .*exit code 1: Object storage", 2),
    "job-deadline": ("Deadline", r"stopped after its deadline of 4 s", 1),
    "job-image-pull": ("ImagePull", r"absent:1 cannot be pulled: .*connection refused", 1),
    "job-quota": ("Quota", r"exceeded quota: small", 0),
}


@pytest.mark.parametrize("case", FAILED)
def test_the_cause_is_named(case: str) -> None:
    kind, words, attempts = FAILED[case]
    verdict = assess_job(job(case))
    assert verdict.state == "failed"
    assert verdict.cause is not None
    assert verdict.cause.kind == kind
    assert re.search(words, verdict.cause.message, re.DOTALL)
    assert verdict.attempts == attempts


def test_a_success_brings_the_pods_message() -> None:
    verdict = assess_job(job("job-succeeded"))
    assert verdict.state == "succeeded"
    assert json.loads(verdict.message)["rows"] == 3


def test_a_failed_attempt_is_a_suspicion_while_others_are_left() -> None:
    found = load("job-retries")
    found["job"]["status"]["conditions"] = []
    verdict = assess_job(job("job-retries", job=found["job"]))
    assert verdict.state == "running"
    assert verdict.cause is not None
    assert not verdict.cause.certain
    assert verdict.summary.startswith("attempt 2 of 2 failed")


def test_an_attempt_that_has_just_ended_is_not_yet_the_jobs_end() -> None:
    found = load("job-user-error")
    found["job"]["status"]["conditions"] = []
    for pod in found["pods"]:
        pod["status"]["phase"] = "Running"
    verdict = assess_job(job("job-user-error", job=found["job"], pods=found["pods"]))
    assert (verdict.state, verdict.cause) == ("running", None)


def test_a_suspended_job_says_so() -> None:
    found = load("job-succeeded")
    found["job"]["status"] = {}
    found["job"]["spec"]["suspend"] = True
    assert assess_job(job("job-succeeded", job=found["job"], pods=[])).summary == "suspended"


def with_sidecar(name: str, **end: object) -> dict[str, Any]:
    """Return a recorded Job whose pods have a sidecar that ended in this way."""
    found = load(name)
    for pod in found["pods"]:
        pod["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}]
        pod["status"]["initContainerStatuses"] = [{"name": "proxy", "state": {"terminated": end}}]
    return found


def test_a_sidecar_is_not_blamed_for_what_the_pipeline_did() -> None:
    found = with_sidecar("job-user-error", exitCode=137, reason="Error")
    verdict = assess_job(job("job-user-error", pods=found["pods"]))
    assert verdict.cause is not None
    assert verdict.cause.message.startswith("pipeline failed with exit code 64")


def test_a_sidecars_words_are_not_the_jobs_result() -> None:
    found = with_sidecar("job-succeeded", exitCode=0, message="good bye")
    assert json.loads(assess_job(job("job-succeeded", pods=found["pods"])).message)["rows"] == 3


def test_a_pipeline_that_waits_for_its_sidecar_does_not_run() -> None:
    found = with_sidecar("job-succeeded")
    found["job"]["status"] = {}
    for pod in found["pods"]:
        pod["status"]["phase"] = "Pending"
        pod["status"]["initContainerStatuses"][0]["state"] = {"running": {}}
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "PodInitializing"}}
    verdict = assess_job(job("job-succeeded", job=found["job"], pods=found["pods"]))
    assert "pipeline running" not in verdict.summary


def test_a_job_has_ended_when_its_pods_have() -> None:
    found = load("job-succeeded")
    conditions = [item for item in found["job"]["status"]["conditions"] if item["type"] != "Complete"]
    found["job"]["status"]["conditions"] = conditions
    verdict = assess_job(job("job-succeeded", job=found["job"]))
    assert (verdict.state, verdict.summary) == ("running", "has succeeded, its pods end")
