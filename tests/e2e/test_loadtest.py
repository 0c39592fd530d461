"""Load tests on the real cluster: replicas follow the load, and no end of a test loses its results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e_tools import live_pods, wait_for
from load_results import answered
from onnx_models import ROW, slow

import mlk8s
from mlk8s.errors import LoadTestError, UsageError
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.run import Run
from mlk8s.operations.service import Service
from mlk8s.storage.broken import broken_onnx
from mlk8s.storage.models import upload_model

ROWS = np.tile(np.asarray(ROW, np.float32).reshape(1, -1), (64, 1))
SHORT = mlk8s.LoadProfile.constant(rps=10, hold="4s", timeout="60s")
LONG = mlk8s.LoadProfile.constant(rps=10, hold="5m")


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def service(k8s: Kubernetes) -> Iterator[Service]:
    model = upload_model(slow(24), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    deployed = k8s.deploy(
        mlk8s.ModelService(
            name="loaded",
            model=model.url,
            autoscale=mlk8s.Autoscale(min=1, max=3, target=2, scale_down_stabilization="60s"),
            resources=mlk8s.Resources(cpu="50m", cpu_limit="300m", memory="256Mi"),
        )
    )
    yield deployed
    deployed.delete()


@pytest.mark.timeout(420)
def test_replicas_follow_the_load_and_everything_is_kept(service: Service, tmp_path: Path) -> None:
    ticks: list[Any] = []
    from mlk8s.operations.loadtest import loadtest

    run = loadtest(
        service.cluster,
        service,
        # A busy machine makes no answer a time-out, and what was started late is seen ready while it settles.
        mlk8s.LoadProfile.closed(users=[1, 16], hold="20s", timeout="60s"),
        inputs=ROWS,
        slo=mlk8s.Slo(errors=0.01),
        directory=tmp_path / "run",
        settle="40s",
        on_tick=ticks.append,
    )
    assert run.partial is None
    total = run.summary.total
    assert total.outcomes == {"ok": total.total}, total.outcomes
    assert total.versions == {"1": total.total}
    assert run.verdict is not None and run.verdict.held
    rows = run.timeline().to_pylist()
    assert max(row["replicas_desired"] or 0 for row in rows) >= 2
    assert max(row["metric"] or 0 for row in rows) > 2
    assert {row["metric_target"] for row in rows} - {None} == {2.0}
    assert max(row["in_flight"] or 0 for row in rows) > 2
    # CPU and memory by Prometheus from the kubelet: more than a pod needs at rest, no more than the limits of
    # three pods allow
    assert 0.05 < max(row["cpu_cores"] or 0 for row in rows) < 1.2
    assert 2**24 < max(row["memory_bytes"] or 0 for row in rows) < 3 * 2**28
    happened = {(row["kind"], row["what"]) for row in run.events().to_pylist() if row["t"] > 0}
    assert {("pod", "scheduled"), ("pod", "started"), ("pod", "ready"), ("load", "stage")} < happened
    assert ("autoscaler", "SuccessfulRescale") in happened
    assert any(kind == "condition" for kind, _ in happened)
    assert run.summary.scaling.initial == 1
    assert run.summary.scaling.highest in (2, 3)
    assert run.summary.scaling.first_wish is not None and run.summary.scaling.first_wish >= 20
    # Prometheus and the load generator count the same requests, each on its own: as sums over the seconds,
    # since a rate over a window is later and flatter than what it is the rate of
    seen = sum(row["server_rps"] or 0 for row in rows)
    assert seen == pytest.approx(sum(row["ok_rps"] or 0 for row in rows), rel=0.5)
    assert {tick.phase for tick in ticks} == {"load", "settle"}
    assert pq.read_table(tmp_path / "run" / "timeline.parquet").to_pylist() == rows
    assert (tmp_path / "run" / "timeline.json").stat().st_size > 1000
    text = run.report().read_text()
    assert "SuccessfulRescale" in text and "Verdict: held" in text
    pods = {pod["name"] for line in run.samples for pod in line.get("pods") or ()}
    assert len(pods) >= 2


def test_without_prometheus_the_rest_goes_on_and_the_gap_is_told(service: Service, tmp_path: Path) -> None:
    lost = replace(service.platform, prometheus="mlk8s-system/no-such-service:9090")
    blind = Service(service.cluster, lost, service.name, service.namespace)
    run = blind.loadtest(SHORT, inputs=ROWS, directory=tmp_path / "run")
    rows = run.timeline().to_pylist()
    assert all(row["in_flight"] is None for row in rows)
    assert any(row["replicas_ready"] for row in rows)
    assert "Prometheus could not be asked" in run.report().read_text()


def test_a_request_that_the_model_refuses_is_never_repeated(service: Service, tmp_path: Path) -> None:
    body = {"inputs": [{"name": "nonsense", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
    with pytest.raises(UsageError, match="the model refuses this request"):
        service.loadtest(SHORT, body=body, directory=tmp_path / "run")
    with pytest.raises(UsageError, match="exactly one of inputs and body"):
        service.loadtest(SHORT, directory=tmp_path / "run")
    with pytest.raises(UsageError, match="V2 infer request"):
        service.loadtest(SHORT, body=b"{}", directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_killed_generator_is_told_and_leaves_its_results(service: Service, tmp_path: Path) -> None:
    directory = tmp_path / "run"

    def kill() -> None:
        wait_for(lambda: answered(directory) >= 10)
        (file,) = directory.glob("requests-*.jsonl")
        os.kill(int(file.stem.rpartition("-")[2]), signal.SIGKILL)

    threading.Thread(target=kill).start()
    with pytest.raises(LoadTestError, match="generator was ended by signal 9") as told:
        service.loadtest(LONG, inputs=ROWS, directory=directory)
    assert "mlk8s.Run.open" in str(told.value)
    run = Run.open(directory)
    assert run.partial is not None and run.summary.total.ok >= 10
    assert (directory / "timeline.parquet").exists()


def test_ctrl_c_stops_locust_and_keeps_the_results(service: Service, k8s: Kubernetes, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    program = (
        "import mlk8s, sys, numpy as np;"
        "k8s = mlk8s.connect(kubeconfig=sys.argv[1], namespace=sys.argv[2]);"
        "k8s.service('loaded').loadtest(mlk8s.LoadProfile.constant(rps=10, hold='5m'),"
        " body=sys.argv[3], directory=sys.argv[4])"
    )
    body = tmp_path / "body.json"
    body.write_bytes(service.inference.encode(ROWS))
    kubeconfig = str(k8s.cluster.source)
    process = subprocess.Popen(
        [sys.executable, "-c", program, kubeconfig, service.namespace, str(body), str(directory)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: answered(directory) >= 10)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode != 0
    assert "PARTIAL RESULTS: interrupted by Ctrl-C" in output
    run = Run.open(directory)
    assert run.partial == "interrupted by Ctrl-C"
    assert run.summary.unanswered == 0
    (file,) = directory.glob("requests-*.jsonl")
    assert not Path("/proc", file.stem.rpartition("-")[2]).exists()


@pytest.mark.timeout(240)
def test_a_service_that_fails_ends_its_own_test_and_everything_says_so(
    k8s: Kubernetes, tmp_path: Path
) -> None:
    columns = int(np.asarray(ROW).size)
    model = upload_model(broken_onnx(columns), f"s3://models/{k8s.namespace}-broken/1", config=k8s.storage())
    broken = k8s.deploy(
        mlk8s.ModelService(
            name="broken", model=model.url, replicas=1, resources=mlk8s.Resources(cpu="50m", memory="256Mi")
        )
    )
    body, directory = tmp_path / "body.json", tmp_path / "run"
    body.write_bytes(broken.inference.encode(ROWS[:1]))
    options = ["--spike", "30,60,2s", "--hold", "60s", "--stop-above", "0.3", "--out", str(directory)]
    where = ["--kubeconfig", str(k8s.cluster.source), "-n", k8s.namespace]
    done = subprocess.run(
        [sys.executable, "-m", "mlk8s", "loadtest", "broken", "--body", f"@{body}", *options, *where],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert (
        f"30 requests/s for 60 s, then 60 requests/s for 2 s, then 30 requests/s for 60 s to {broken.url}"
        in (done.stderr)
    )
    run = Run.open(directory)
    assert run.facts["load_ended"] - run.facts["started"] < 122, "the whole load would last so long"
    for words in (done.stderr, run.report().read_text()):
        assert "failed; the bound is 0.3" in words
    broken.delete()


def test_another_host_gets_load_only_by_its_name(service: Service, tmp_path: Path) -> None:
    # The ingress controller's own pod: in our cluster, and no address that the cluster gave this service.
    pods = live_pods(service.cluster, namespace="mlk8s-system")
    pod = next(item for item in pods if item["metadata"]["name"].startswith("traefik-"))
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    host = pod["status"]["podIP"]
    other = replace(service.platform, ingress_url=f"http://{host}:{ports['web']}")
    elsewhere = Service(service.cluster, other, service.name, service.namespace)
    for own, words in (
        (None, f"load is not sent to {host}"),
        ("127.0.0.1", "is not what would get the load"),
    ):
        with pytest.raises(UsageError, match=words):
            elsewhere.loadtest(SHORT, inputs=ROWS, directory=tmp_path / "run", own_target=own)
    assert not (tmp_path / "run").exists()
    run = elsewhere.loadtest(SHORT, inputs=ROWS, directory=tmp_path / "run", own_target=host)
    assert run.summary.total.ok == 40 and host in run.facts["target"]["url"]
