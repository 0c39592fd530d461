"""Probes, sidecars and init containers on the real cluster: each has its effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from e2e_tools import wait_for

import mlk8s
from mlk8s.errors import ClusterError, NotFound
from mlk8s.operations.connection import Kubernetes
from mlk8s.render.container import container, container_volumes, sidecar
from mlk8s.render.pod import pod_security
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.resources import Resources

SMALL = Resources(cpu="10m", cpu_limit=None, memory="48Mi", ephemeral_storage="16Mi")

# Answers its name; /break/ready and /break/live make those questions fail from then on.
WEB = """
import http.server, socket
broken = set()
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path.startswith("/break"): broken.add(self.path.removeprefix("/break"))
        self.send_response(503 if self.path in broken else 200); self.end_headers()
        self.wfile.write(socket.gethostname().encode())
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
# Says when it begins and ends; sidecars wait for their end, the others for SECONDS.
PHASES = """
import os, signal, sys, time
def say(what): print(what, f"{time.time():.3f}", flush=True)
signal.signal(signal.SIGTERM, lambda *a: (say("end"), sys.exit(0)))
say("begin")
time.sleep(float(os.environ["SECONDS"]))
say("end")
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


def python(name: str, image: str, script: str, **values: Any) -> Container:
    return Container(name, image, command=("python3", "-I", "-c", script), resources=SMALL, **values)


@pytest.fixture(scope="module")
def web(k8s: Kubernetes, python_pods: str) -> Callable[[str], str]:
    """Two pods behind a Service; returns what asks one of them, or the Service, through the API server."""
    probes = Probes(
        startup=Probe(http_get="/live"),
        # Patient: that a busy machine answers late is no failure.
        readiness=Probe(http_get="/ready", timeout=10, failures=1),
        liveness=Probe(http_get="/live", period=1, timeout=10, failures=2),
    )
    main = python("main", python_pods, WEB, ports={"http": 8080}, probes=probes)
    k8s.apply(
        mlk8s.StatefulSet(
            name="web", replicas=2, pod_management="Parallel", containers=(main,), grace_period=1
        )
    )

    def ask(target: str) -> str:
        path = f"/api/v1/namespaces/{k8s.namespace}/{target}"
        return k8s.cluster.raw("GET", path).decode()

    return ask


@pytest.fixture(scope="module")
def never(k8s: Kubernetes, python_pods: str) -> str:
    """A pod that runs and never starts to listen."""
    probes = Probes(startup=Probe(tcp=True, port=9, period=1, failures=2))
    main = python("main", python_pods, "import time; time.sleep(600)", probes=probes)
    k8s.apply(mlk8s.StatefulSet(name="never", containers=(main,), grace_period=1), wait=False)
    return "never-0"


@pytest.fixture(scope="module")
def job(k8s: Kubernetes, python_pods: str) -> str:
    """A Job of two init containers, a sidecar and a main container, made of our own parts."""
    first, second, main = (
        python(name, python_pods, PHASES, env={"SECONDS": "0.3"}) for name in ("first", "second", "main")
    )
    beside = python("beside", python_pods, PHASES, env={"SECONDS": "600"})
    every = (first, second, beside, main)
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": pod_security(),
        "initContainers": [container(first), container(second), sidecar(beside)],
        "containers": [container(main)],
        "volumes": container_volumes(every, "phases"),
    }
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "phases", "namespace": k8s.namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    k8s.cluster.create(manifest)
    return "phases"


def status(k8s: Kubernetes, pod: str) -> dict[str, Any]:
    """Return the main container's status; empty while there is none."""
    found = k8s.cluster.find("Pod", pod) or {}
    listed = found.get("status", {}).get("containerStatuses") or [{}]
    return dict(listed[0])


def unhealthy(k8s: Kubernetes, pod: str, probe: str) -> bool:
    found = k8s.cluster.list("Event", fields=f"involvedObject.name={pod},reason=Unhealthy")
    return any(item["message"].startswith(f"{probe} probe failed") for item in found)


def behind(web: Callable[[str], str], service: str) -> set[str]:
    """Who answers ten questions to a Service; nobody as long as there is no way to a pod."""
    try:
        return {web(service) for _ in range(10)}
    except ClusterError:
        return set()


def test_a_pod_that_is_not_ready_gets_no_requests(
    k8s: Kubernetes, web: Callable[[str], str], never: str, job: str
) -> None:
    service = "services/http:web:8080/proxy/"
    wait_for(lambda: behind(web, service) == {"web-0", "web-1"})
    web("pods/web-0:8080/proxy/break/ready")

    def left() -> bool:
        slices = k8s.cluster.list("EndpointSlice", labels="kubernetes.io/service-name=web")
        ready = {
            point["targetRef"]["name"]: point["conditions"]["ready"]
            for item in slices
            for point in item["endpoints"] or []
        }
        return ready == {"web-0": False, "web-1": True}

    wait_for(left)
    wait_for(lambda: behind(web, service) == {"web-1"})  # the API server follows the slices, too
    wait_for(lambda: unhealthy(k8s, "web-0", "Readiness"))
    assert status(k8s, "web-0")["restartCount"] == 0


def test_a_pod_that_does_not_live_is_started_again(k8s: Kubernetes, web: Callable[[str], str]) -> None:
    assert status(k8s, "web-1")["restartCount"] == 0
    web("pods/web-1:8080/proxy/break/live")
    wait_for(lambda: status(k8s, "web-1")["restartCount"] == 1 and status(k8s, "web-1")["ready"])
    wait_for(lambda: unhealthy(k8s, "web-1", "Liveness"))
    assert web("pods/web-1:8080/proxy/live") == "web-1"


def test_a_pod_that_never_starts_is_started_again(k8s: Kubernetes, never: str) -> None:
    wait_for(lambda: status(k8s, never).get("restartCount", 0) >= 1)
    wait_for(lambda: unhealthy(k8s, never, "Startup"))
    assert not status(k8s, never)["ready"]


def test_a_workload_that_reads_a_secret_that_is_not_there_is_refused(
    k8s: Kubernetes, python_pods: str
) -> None:
    main = python("main", python_pods, WEB, secret_env={"DB_PASSWORD": "nowhere/password"})
    with pytest.raises(NotFound, match="Secret 'nowhere' is not there"):
        k8s.apply(mlk8s.StatefulSet(name="secretive", containers=(main,)))
    assert k8s.cluster.find("ServiceAccount", "secretive") is None


def test_init_containers_and_sidecar_run_in_order_and_the_job_ends(k8s: Kubernetes, job: str) -> None:
    wait_for(lambda: k8s.cluster.get("Job", job).get("status", {}).get("succeeded") == 1, 180)
    (pod,) = k8s.cluster.list("Pod", labels=f"batch.kubernetes.io/job-name={job}")
    times: dict[str, dict[str, float]] = {}
    for name in ("first", "second", "beside", "main"):
        lines = k8s.cluster.logs(pod["metadata"]["name"], container=name).splitlines()
        times[name] = {line.split()[0]: float(line.split()[1]) for line in lines}
    order = [
        times["first"]["end"],
        times["second"]["begin"],
        times["second"]["end"],
        times["beside"]["begin"],
        times["beside"]["end"],
    ]
    assert order == sorted(order), json.dumps(times)
    assert times["main"]["begin"] <= times["main"]["end"] <= times["beside"]["end"], json.dumps(times)
    # Which of two interpreters that start speaks first is chance; kubelet tells when it started them.
    status = pod["status"]
    began = {
        item["name"]: item["state"]["terminated"]["startedAt"]
        for item in (*status["initContainerStatuses"], *status["containerStatuses"])
    }
    assert began["beside"] <= began["main"], began
