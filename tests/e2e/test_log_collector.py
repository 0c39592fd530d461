"""The log collector on the real cluster: lines of pods that are gone, rotation, a restart, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_tools import live_pods, wait_for
from pods import pod

import mlk8s
from mlk8s.operations.connection import Kubernetes
from mlk8s.storage.log_lines import LogLine
from mlk8s.storage.store import ObjectInfo, Store

WORDS = """
import sys, time
print('the answer of a short life is 42', flush=True); print('an error', file=sys.stderr)
time.sleep(5)
"""
ROWS = 7200
# 6 MB at once, then slowly on: the kubelet looks every 10 s and rotates what is above 5 MiB.
MANY = """
import time
for number in range(7200):
    print(f"row {number:06d} " + "x" * 1000, flush=True)
    if number > 6000: time.sleep(0.02)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def collector(k8s: Kubernetes) -> Iterator[mlk8s.LogCollector]:
    own = f"logs-{uuid.uuid4().hex[:5]}"
    spec = mlk8s.LogCollector(
        name=own, namespace=own, output=f"s3://logs/{own}", flush=1, include=(k8s.namespace,)
    )
    k8s.apply(spec)
    yield spec
    k8s.remove(spec)


def found(
    k8s: Kubernetes, collector: mlk8s.LogCollector, text: str, count: int, seconds: float = 90.0, **where: Any
) -> list[LogLine]:
    """The lines with a text, as soon as there are so many."""

    def lines() -> list[LogLine]:
        read = list(k8s.logs.search(text, namespace=k8s.namespace, source=collector.output, **where))
        return read if len(read) >= count else []

    return wait_for(lines, seconds)


def shipped(k8s: Kubernetes, collector: mlk8s.LogCollector) -> list[ObjectInfo]:
    return Store(f"{collector.output}", k8s.storage()).objects("lines/")


def start(k8s: Kubernetes, name: str, script: str) -> None:
    made = pod(name, script=script, restartPolicy="Never")
    made["metadata"]["namespace"] = k8s.namespace
    k8s.cluster.create(made)


def gone(k8s: Kubernetes, name: str) -> None:
    wait_for(lambda: k8s.cluster.get("Pod", name)["status"].get("phase") == "Succeeded")
    k8s.cluster.delete("Pod", name, grace_seconds=0)
    wait_for(lambda: k8s.cluster.find("Pod", name) is None)


def test_a_line_of_a_pod_that_is_gone_is_found(
    k8s: Kubernetes, collector: mlk8s.LogCollector, python_pods: str, local_cluster: Any
) -> None:
    start(k8s, "short-lived", WORDS)
    gone(k8s, "short-lived")
    (line,) = found(k8s, collector, "short life is", 1, pod="short-*")
    assert line[1:] == (k8s.namespace, "short-lived", "main", "the answer of a short life is 42")
    (error,) = found(k8s, collector, "", 2, since="10m", container="main")[-1:]
    assert "an error" in error.line or "answer" in error.line
    command = [
        sys.executable, "-m", "mlk8s", "search-logs", "-E", r"is \d+$", "--source", collector.output,
        "-n", k8s.namespace, "-o", "json", "--kubeconfig", str(local_cluster.kubeconfig),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pod"] == "short-lived"
    command[5] = "no such words"
    assert subprocess.run(command, capture_output=True, text=True, timeout=240).returncode == 1


def test_rotation_and_a_restart_keep_every_line_once(
    k8s: Kubernetes, collector: mlk8s.LogCollector, python_pods: str
) -> None:
    start(k8s, "talker", MANY)
    found(k8s, collector, "row 0005", 1)
    for item in k8s.cluster.list("Pod", collector.namespace):
        k8s.cluster.delete("Pod", item["metadata"]["name"], collector.namespace)
    lines = found(k8s, collector, "row ", ROWS, seconds=150)
    told = Counter(line.line[:10] for line in lines)
    assert told == {f"row {number:06d}": 1 for number in range(ROWS)}
    files = {info.key.split("_")[1] for info in shipped(k8s, collector) if "/talker/" in info.key}
    assert len(files) == 2, "the log was not rotated"
    assert [line.time for line in lines] == sorted(line.time for line in lines)


def test_the_collector_has_only_what_it_needs(k8s: Kubernetes, collector: mlk8s.LogCollector) -> None:
    (item,) = live_pods(k8s.cluster, namespace=collector.namespace)
    spec = item["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "pod-logs"]
    assert mount["readOnly"]
    account = item["spec"]["serviceAccountName"]
    assert not [
        each
        for each in k8s.cluster.list("RoleBinding", collector.namespace)
        if any(subject["name"] == account for subject in each.get("subjects") or [])
    ]
