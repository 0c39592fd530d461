"""A rollout's Job: what it may do, its hardening, and that it is none of the service's pods."""

from __future__ import annotations

from typing import Any

from cases import FACTS

from mlk8s.assess.lint import lint
from mlk8s.render.canary import render_canary
from mlk8s.render.rollout_job import RolloutJob, render_rollout_job, render_rollout_rights, rights
from mlk8s.render.service import render_service
from mlk8s.spec.canary import Canary
from mlk8s.spec.service import ModelService

STABLE = ModelService(name="iris", model="s3://models/iris/1")
OBJECTS = (
    *render_service(STABLE, FACTS),
    *render_canary(STABLE, Canary(model="s3://models/iris/2"), FACTS, weight=0),
)
JOB = RolloutJob(
    name="mlk8s-canary-iris", service="iris", image="localhost/mlk8s/controller:1", settings="{}",
    webhook="https://hooks.example.com/secret", objects=OBJECTS, secrets=("login",),
    egress=({"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 443}]},),
)  # fmt: skip
OWNER = {"metadata": {"uid": "1"}}


def made() -> list[dict[str, Any]]:
    return [render_rollout_job(JOB, FACTS, suspend=False), *render_rollout_rights(JOB, FACTS, OWNER)]


def test_rights_are_by_name_wherever_a_name_is_known() -> None:
    rules = rights(JOB)
    assert not [rule for rule in rules if "*" in str(rule)]
    named = {tuple(rule["resources"]): rule["resourceNames"] for rule in rules if "resourceNames" in rule}
    assert named[("deployments",)] == ["iris", "iris-canary"]
    assert named[("ingresses",)] == ["iris", "iris-canary"]
    assert named[("leases",)] == ["mlk8s-canary-iris"]
    assert named[("secrets",)] == ["login"]
    changing = {"patch", "update", "delete"}
    free = [rule for rule in rules if changing & set(rule["verbs"]) and "resourceNames" not in rule]
    assert [rule["resources"] for rule in free] == [["configmaps"], ["pods"]]
    assert not [rule for rule in rules if {"roles", "rolebindings", "nodes"} & set(rule["resources"])]


def test_webhook_is_in_a_secret_only() -> None:
    (secret,) = [item for item in made() if item["kind"] == "Secret"]
    assert secret["stringData"] == {"webhook": "https://hooks.example.com/secret"}
    assert not [item for item in made() if item["kind"] != "Secret" and "hooks.example.com" in str(item)]


def test_everything_goes_with_the_job() -> None:
    job, *rest = made()
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    for item in rest:
        assert item["metadata"]["ownerReferences"][0]["kind"] == "Job", item["kind"]


def test_pod_is_none_of_the_services_and_lint_has_no_finding() -> None:
    job = made()[0]
    labels = job["spec"]["template"]["metadata"]["labels"]
    for item in OBJECTS:
        if item["kind"] == "Service":
            assert not item["spec"]["selector"].items() <= labels.items()
    assert [str(item) for item in lint(made()) if item.rule != "secret-in-manifest"] == []
