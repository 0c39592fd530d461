"""Quotas and devices: what is lacking is told with its numbers, and what fits is not told."""

from __future__ import annotations

from typing import Any

from mlk8s.assess.room import needed, no_device, over_quota

POD: dict[str, Any] = {
    "spec": {
        "containers": [
            {"resources": {
                "requests": {"cpu": "500m", "nvidia.com/gpu": "1"},
                "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"},
            }}
        ]
    }
}  # fmt: skip


def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {}, "status": {"hard": hard, "used": used}}


def node(gpus: int, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "spec": spec, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}}


def running() -> dict[str, Any]:
    return {"spec": {**POD["spec"], "nodeName": "n"}, "status": {"phase": "Running"}}


def test_quota_that_has_no_room_is_named_with_its_numbers() -> None:
    need = needed(POD, 2)
    assert (
        over_quota([quota({"pods": "4", "requests.cpu": "2"}, {"pods": "2", "requests.cpu": "1"})], need)
        == []
    )
    (told,) = over_quota(
        [quota({"pods": "3", "requests.cpu": "2"}, {"pods": "2", "requests.cpu": "1"})], need
    )
    assert told == "the canary needs 2 of pods, and ResourceQuota q has 1 of 3 left"
    (told,) = over_quota([quota({"cpu": "1.5"}, {"cpu": "1"})], need)
    assert told == "the canary needs 1 of cpu, and ResourceQuota q has 0.5 of 1.5 left"
    (told,) = over_quota([quota({"limits.memory": "2Gi"}, {"limits.memory": "1Gi"})], need)
    assert told == "the canary needs 2Gi of limits.memory, and ResourceQuota q has 1Gi of 2Gi left"


def test_quota_of_a_scope_is_not_judged() -> None:
    scoped = quota({"pods": "0"}, {"pods": "0"})
    scoped["spec"]["scopes"] = ["BestEffort"]
    assert over_quota([scoped], needed(POD, 1)) == []


def test_gpu_that_is_not_free_is_told_as_people_say_it() -> None:
    assert no_device([node(2)], [running()], POD, 1) == []
    (told,) = no_device([node(1)], [running()], POD, 1)
    assert told == "the canary needs one GPU more, none is free (nvidia.com/gpu)"
    (told,) = no_device([node(3)], [running()], POD, 4)
    assert told == "the canary needs 2 GPUs more, 2 are free (nvidia.com/gpu)"
    assert no_device([node(1, unschedulable=True)], [], POD, 1)
    assert no_device([node(0)], [], {"spec": {"containers": [{}]}}, 1) == []
