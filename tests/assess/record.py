"""Record what a real cluster says about workloads that cannot become ready: the facts of test_causes.py.

    python -m tests.assess.record SERVER_IMAGE PIPELINE_IMAGE [CASE ...]

Makes namespaces mlk8s-record-CASE in the current context, one a case, waits for the verdict, writes
tests/assess/facts/CASE.json and deletes the namespace. Needs no platform.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlk8s.assess.job import JobFacts, assess_job
from mlk8s.assess.rollout import assess_rollout
from mlk8s.clients.cluster import Cluster
from mlk8s.operations.waiting import RolloutWatcher
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import render_job
from mlk8s.render.service import render_service
from mlk8s.spec.job import FeatureJob
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.service import ModelService

HERE = Path(__file__).parent / "facts"
Manifest = dict[str, Any]
_SERVER = ModelService(
    name="iris", model="s3://models/iris/1", replicas=1, route=None, startup_timeout=3, request_timeout=1
)
_ALIVE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path.endswith("live") else 503)
        self.end_headers()
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
_READY = _ALIVE.replace('200 if self.path.endswith("live") else 503', "200")
_PUBLISHED = (
    '{"event": "published", "url": "s3://features/digits/1", "version": "1", "digest": "sha256:00", '
    '"rows": 3, "columns": 2}'
)


def _python(program: str) -> Callable[[Manifest], None]:
    """Return a change that lets the server run a program, with no model to fetch."""

    def change(deployment: Manifest) -> None:
        pod = deployment["spec"]["template"]["spec"]
        del pod["initContainers"]
        pod["containers"][0]["command"] = ["python3", "-c", program]

    return change


def _published(job: Manifest) -> None:
    program = f"open('/dev/termination-log', 'w').write('{_PUBLISHED}')"
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["python3", "-c", program]


def _no_config(deployment: Manifest) -> None:
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [
        {"configMapRef": {"name": "absent"}}
    ]
    del deployment["spec"]["template"]["spec"]["initContainers"]


def _host_network(deployment: Manifest) -> None:
    deployment["spec"]["template"]["spec"]["hostNetwork"] = True


def _secret(deployment: Manifest) -> None:
    deployment["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] = "absent"


SERVICES: dict[str, tuple[ModelService, Callable[[Manifest], None]]] = {
    "image-pull": (_SERVER.replace(image="localhost/mlk8s/absent:1"), lambda _: None),
    "init-container": (_SERVER, lambda _: None),
    "crash-loop": (_SERVER, _python("import sys; print('no model in', '/models'); sys.exit(3)")),
    "out-of-memory": (
        _SERVER.replace(resources=Resources(memory="32Mi")),
        _python("x = bytearray(200_000_000)"),
    ),
    "unschedulable": (_SERVER.replace(gpu=Gpu(9)), lambda _: None),
    "quota": (_SERVER, lambda _: None),
    "pod-security": (_SERVER, _host_network),
    "missing-secret": (_SERVER, _secret),
    "missing-config": (_SERVER, _no_config),
    "startup-probe": (_SERVER, _python("import time; print('loading', flush=True); time.sleep(600)")),
    "readiness-probe": (_SERVER, _python(_ALIVE)),
    "ready": (_SERVER, _python(_READY)),
    "old-serves": (
        _SERVER.replace(image="localhost/mlk8s/absent:1", model="s3://models/iris/2"),
        lambda _: None,
    ),
}
_JOB = FeatureJob(
    name="digits",
    source="def build():\n    raise ValueError('no such column')\n",
    output="s3://features/digits",
    version="1",
)
JOBS: dict[str, FeatureJob] = {
    "job-user-error": _JOB,
    "job-retries": _JOB.replace(source="def build():\n    return {'x': [1]}\n", backoff_limit=1),
    "job-deadline": _JOB.replace(
        source="def build():\n    import time\n    print('slow', flush=True)\n    time.sleep(600)\n",
        active_deadline=4,
    ),
    "job-image-pull": _JOB.replace(image="localhost/mlk8s/absent:1"),
    "job-quota": _JOB,
    "job-succeeded": _JOB,
}


def main(server_image: str, pipeline_image: str, *names: str) -> None:
    """Record the named cases, or all, a few at a time."""
    cases = names or (*SERVICES, *JOBS)
    with ThreadPoolExecutor(3) as pool:
        for line in pool.map(lambda case: record(case, server_image, pipeline_image), cases):
            print(line, flush=True)


def record(case: str, server_image: str, pipeline_image: str) -> str:
    """Record one case; return one line about it."""
    cluster = Cluster.connect()
    namespace = f"mlk8s-record-{case}"
    facts = RenderFacts(
        namespace=namespace,
        server_image=server_image,
        pipeline_image=pipeline_image,
        storage_endpoint="http://127.0.0.1:1",
    )
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    try:
        _around(cluster, case, namespace)
        if case in JOBS:
            kind, found = _job(cluster, JOBS[case], facts, succeeds=case == "job-succeeded")
        else:
            if case == "old-serves":
                _rollout(cluster, *SERVICES["ready"], facts)
            kind, found = _rollout(cluster, *SERVICES[case], facts)
    finally:
        cluster.delete("Namespace", namespace)
    text = json.dumps(found, indent=1, sort_keys=True)
    (HERE / f"{case}.json").write_text(text + "\n", encoding="utf-8")
    return f"{case}: {kind}"


def _around(cluster: Cluster, case: str, namespace: str) -> None:
    metadata = {"name": "mlk8s-storage", "namespace": namespace}
    data = {"access-key-id": "a", "secret-access-key": "b"}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
    if case.endswith("quota"):
        quota = {"hard": {"requests.cpu": "100m", "pods": "4"}}
        metadata = {"name": "small", "namespace": namespace}
        cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": quota})
        time.sleep(2)  # until the quota controller has counted


def _rollout(
    cluster: Cluster, spec: ModelService, change: Callable[[Manifest], None], facts: RenderFacts
) -> tuple[str, Manifest]:
    for item in render_service(spec, facts):
        if item["kind"] == "Deployment":
            change(item)
        cluster.apply(item)
    watcher = RolloutWatcher(cluster, spec.name, facts.namespace)
    for _ in range(600):
        seen = watcher.facts()
        verdict = assess_rollout(seen)
        if verdict.state != "progressing":
            break
        time.sleep(0.2)
    parts = {
        "deployment": seen.deployment,
        "replica_sets": list(seen.replica_sets),
        "pods": list(seen.pods),
        "events": list(seen.events),
    }
    return f"{verdict.state} {verdict.cause}", _trim(parts, seen.now)


def _job(cluster: Cluster, spec: FeatureJob, facts: RenderFacts, *, succeeds: bool) -> tuple[str, Manifest]:
    for item in render_job(spec, facts):
        if succeeds and item["kind"] == "Job":
            _published(item)
        applied = cluster.apply(item)
    name = applied["metadata"]["name"]
    for _ in range(600):
        seen = JobFacts(
            job=cluster.get("Job", name, facts.namespace),
            pods=cluster.list("Pod", facts.namespace, labels=f"batch.kubernetes.io/job-name={name}"),
            events=cluster.events(facts.namespace),
            now=datetime.now(UTC),
        )
        verdict = assess_job(seen)
        if verdict.state != "running":
            break
        time.sleep(0.2)
    parts = {"job": seen.job, "pods": list(seen.pods), "events": list(seen.events)}
    return f"{verdict.state} {verdict.cause}", _trim(parts, seen.now)


def _trim(parts: Manifest, now: datetime) -> Manifest:
    """Return the facts without what no verdict reads."""
    parts = copy.deepcopy(parts)
    for value in parts.values():
        for item in value if isinstance(value, list) else [value]:
            item["metadata"].pop("managedFields", None)
            item["metadata"].get("annotations", {}).pop("mlk8s.dev/spec", None)
    return {"now": now.isoformat(), **parts}


if __name__ == "__main__":
    main(*sys.argv[1:])
