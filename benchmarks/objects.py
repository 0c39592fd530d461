"""Measure the linter and the bulk apply against their promises and their peers.

    python benchmarks/objects.py                          # everything, on a cluster of its own
    python benchmarks/objects.py --cluster mlk8s-dev      # on a local cluster that is up already
    python benchmarks/objects.py --offline                # no cluster: lint, render, kube-score

kube-score is built from the Go module in `benchmarks/go/kube-score`, whose go.sum decides what is accepted.
The table's last line is `met N of M` with the rows that are not met; the same is written as JSON, with the
date, the machine and the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import go_peers
import yaml
from local_cluster import ROOT, Row, module_version, report, spread

from mlk8s.assess.lint import RULES, lint
from mlk8s.local.cache import cache_dir
from mlk8s.render.common import Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import render_cron_job
from mlk8s.render.service import render_service
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.service import ModelService

NAME = "bench-objects"
PORT = 18420
KUBE_SCORE = "github.com/zegl/kube-score"
WAIVED = {
    "container-image-pull-policy": "the tags are digests of what they hold, so a copy on the node is right; "
    "with Always each start would need the registry",
}
"""kube-score's checks that are not met on purpose, with the reason."""
FACTS = RenderFacts(
    namespace="bench",
    ingress_class="nginx",
    storage_endpoint="http://seaweedfs.mlk8s-system.svc:8333",
    server_image="localhost/mlk8s/server:0123456789ab",
    pipeline_image="localhost/mlk8s/pipeline:0123456789ab",
    ingress_namespace="mlk8s-system",
    prometheus_namespace="mlk8s-system",
    storage_namespace="mlk8s-system",
    ingress_url="http://127.0.0.1:8080",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cluster", help="a local cluster that is up; else one is made and removed")
    parser.add_argument("--offline", action="store_true", help="only what needs no cluster")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each measurement (median)")
    arguments = parser.parse_args()
    rows = [rendered_and_linted(arguments.repeat), started(arguments.repeat), scored()]
    if not arguments.offline:
        rows += applied(arguments.cluster, arguments.repeat)
    report(
        rows,
        "objects",
        {"kubectl": kubectl().parent.name, "kube-score": module_version("kube-score", KUBE_SCORE)},
    )
    return 0


def services(count: int) -> Iterator[ModelService]:
    for i in range(count):
        yield ModelService(
            name=f"service-{i}", model="s3://models/iris/1", digest="sha256:" + "ab" * 32,
            autoscale=Autoscale(min=2, max=8, metric="requests_in_flight", target=4),
        )  # fmt: skip


def rendered_and_linted(repeat: int) -> Row:
    """From 1,000 specs to manifests without a finding, in one process."""
    specs = list(services(1000))
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        manifests = [item for spec in specs for item in render_service(spec, FACTS)]
        found = lint(manifests)
        seconds.append(time.perf_counter() - start)
        if found:
            raise SystemExit(f"our own manifests have findings: {found[0]}")
    note = f"{len(manifests)} objects, {len(RULES)} rules; {spread(seconds)}"
    return Row("lint and render of 1,000 services", 2, statistics.median(seconds), "s", note)


def started(repeat: int) -> Row:
    """`mlk8s lint` of a small file as a process, from nothing to its exit."""
    mlk8s = Path(sys.executable).with_name("mlk8s")
    file = ROOT / "manifests" / "platform" / "coredns.yaml"
    seconds = []
    for _ in range(5 * repeat):
        start = time.perf_counter()
        done = subprocess.run([mlk8s, "lint", file], capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            raise SystemExit(f"mlk8s lint: {done.stdout}{done.stderr}")
    return Row("mlk8s lint: start to exit, one file", 0.25, statistics.median(seconds), "s", spread(seconds))


def scored() -> Row:
    """kube-score's critical findings on what `manifests/` holds, waived ones apart."""
    program = kube_score()
    text = subprocess.run(
        [kubectl(), "kustomize", ROOT / "manifests" / "base"], capture_output=True, text=True, check=True
    ).stdout
    command = [program, "score", "-", "--output-format", "json"]
    answer = subprocess.run(command, input=text, capture_output=True, text=True)
    critical, waived = [], set()
    for item in json.loads(answer.stdout):
        for check in item["checks"]:
            if check["skipped"] or check["grade"] != 1:
                continue
            name = check["check"]["id"]
            if name in WAIVED:
                waived.add(name)
            else:
                critical.append(f"{name} of {item['object_name']}")
    note = "; ".join([*critical, *(f"waived: {name}, because {WAIVED[name]}" for name in sorted(waived))])
    return Row("kube-score 1.20: critical on the exports", 0, len(critical), "", note)


def kube_score() -> Path:
    """Build kube-score from its pinned module, once."""
    return go_peers.program("kube-score", f"{KUBE_SCORE}/cmd/kube-score")


def kubectl() -> Path:
    """Return the pinned kubectl that `mlk8s up` fetched."""
    found = sorted((cache_dir() / "parts" / "kubectl").glob("*/kubectl"))
    if not found:
        raise SystemExit("there is no kubectl: `mlk8s up` once fetches it")
    return found[-1]


def objects(namespace: str) -> list[Manifest]:
    """Return 1,000 objects: 100 services of eight, 50 suspended pipelines of four.

    The Deployments have no replicas: the apply is measured, not what pods do to the machine meanwhile.
    """
    from dataclasses import replace

    facts = replace(FACTS, namespace=namespace)
    found = [item for spec in services(100) for item in render_service(spec, facts)]
    for item in found:
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = 0
    job = FeatureJob(name="job", source="def build():\n    return {}\n", output="s3://features/a")
    for i in range(50):
        cron = FeatureCronJob(job=job.replace(name=f"cron-{i}"), schedule="15 3 * * *", suspend=True)
        found += render_cron_job(cron, facts)
    if len(found) != 1000:
        raise SystemExit(f"{len(found)} objects; expected 1,000")
    return found


def applied(name: str | None, repeat: int) -> list[Row]:
    """The same objects by `mlk8s apply -f` and by `kubectl apply -k`, each into new namespaces, in turn."""
    ours, theirs, calls = [], [], {"mlk8s": 0, "kubectl": 0}
    with cluster_of(name) as kubeconfig, tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
        run(kubectl(), "--kubeconfig", kubeconfig, "version")  # both find the API server warm
        for turn in range(repeat):
            for tool, seconds in (("mlk8s", ours), ("kubectl", theirs)):
                namespace = f"bench-{tool}-{turn}"
                run(kubectl(), "--kubeconfig", kubeconfig, "create", "namespace", namespace)
                file = Path(folder) / "objects.yaml"
                file.write_text(yaml.dump_all(objects(namespace), Dumper=yaml.CSafeDumper), encoding="utf-8")
                (Path(folder) / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
                taken, calls[tool] = timed_apply(tool, kubeconfig, Path(folder))
                seconds.append(taken)
                run(kubectl(), "--kubeconfig", kubeconfig, "delete", "namespace", namespace, "--wait=true")
    median = statistics.median
    note = f"mlk8s {spread(ours)}; kubectl {spread(theirs)}"
    return [
        Row("apply of 1,000 objects against kubectl apply -k", 0.7, median(ours) / median(theirs), "x", note),
        Row(
            "API calls of that apply against kubectl's", 0.7, calls["mlk8s"] / calls["kubectl"], "x",
            f"{calls['mlk8s']} against {calls['kubectl']}",
        ),
    ]  # fmt: skip


def timed_apply(tool: str, kubeconfig: Path, folder: Path) -> tuple[float, int]:
    """Return the seconds of one apply as a process, and its requests: the transport's count, or -v=6's."""
    environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
    environment.pop("MLK8S_CLUSTER", None)
    mlk8s = Path(sys.executable).with_name("mlk8s")
    commands = {
        "mlk8s": [mlk8s, "apply", "-f", folder / "objects.yaml"],
        "kubectl": [kubectl(), "apply", "-k", folder, "-v=6"],
    }
    start = time.perf_counter()
    done = subprocess.run(commands[tool], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{tool}: {done.stderr[-2000:]}")
    if tool == "kubectl":
        return seconds, len(
            re.findall(r'"Response" verb=|(?:GET|POST|PATCH|PUT) https://\S+ \d{3}', done.stderr)
        )
    found = re.search(r"(\d+) requests", done.stderr)
    return seconds, int(found[1]) if found else 0


@contextmanager
def cluster_of(name: str | None) -> Iterator[Path]:
    """Yield the kubeconfig of the named cluster, or of one without the platform that is removed again."""
    from mlk8s.local import native

    if name is not None:
        yield Path(os.environ.get("MLK8S_STATE", "/var/lib/mlk8s")) / name / "kubeconfig"
        return
    local = native.up(NAME, port=PORT, with_platform=False, yes=True)
    try:
        yield Path(local.kubeconfig)
    finally:
        native.down(NAME)


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main())
