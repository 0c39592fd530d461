"""Specs whose manifests are kept as readable snapshots."""

from __future__ import annotations

from dataclasses import replace

from mlk8s.render.common import Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import render_cron_job, render_job
from mlk8s.render.service import render_service
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.service import ModelService, Route

FACTS = RenderFacts(
    namespace="team",
    ingress_class="nginx",
    storage_endpoint="http://seaweedfs.mlk8s-system.svc:8333",
    server_image="localhost/mlk8s/server:0123456789ab",
    pipeline_image="localhost/mlk8s/pipeline:0123456789ab",
    ingress_namespace="mlk8s-system",
    prometheus_namespace="mlk8s-system",
    storage_namespace="mlk8s-system",
    ingress_url="http://127.0.0.1:8080",
)

PLAIN = ModelService(name="iris", model="s3://models/iris/1", digest="sha256:" + "ab" * 32)
SCALED = ModelService(
    name="iris",
    model="s3://models/iris/2",
    gpu=Gpu(1),
    autoscale=Autoscale(min=1, max=8, metric="requests_in_flight", target=4, scale_down_stabilization=30),
    labels={"team": "vision"},
    startup_timeout=45,
    request_timeout="2.5s",
)
OUTSIDE = ModelService(
    name="digits",
    model="s3://models/digits/2026-11-01",
    route=Route(host="models.example.com", path="/digits", ingress_class="traefik"),
    image="registry.example.com/ml/server:1.2",
    storage_endpoint="https://s3.eu-central-1.amazonaws.com",
    storage_secret="s3-reader",
    resources=Resources(cpu="1", cpu_limit=None, memory="1Gi", memory_limit="2Gi"),
    autoscale=Autoscale(min=2, max=4, metric="cpu", target=70),
    env={"OMP_NUM_THREADS": "1"},
)
INSIDE = ModelService(name="embed", model="s3://models/embed/7", route=None, replicas=1)

_READS = {
    "env": {"LOG_LEVEL": "info"},
    "config_files": {"/etc/app/settings.yaml": "limit: 1\n"},
    "secret_env": {"DB_PASSWORD": "db/password"},
    "secret_files": {"/etc/db": "db"},
}
_IMAGE = "registry.example.com/ml/proxy:1.2"
CONFIGURED = ModelService(
    name="digits",
    model="s3://models/digits/3",
    replicas=1,
    init=(Container("prepare", _IMAGE, command=("prepare",), mounts={"/models": "models"}),),
    sidecars=(
        Container("proxy", _IMAGE, ports={"admin": 9901}, probes=Probes(startup=Probe(tcp=True)), **_READS),
    ),
    probes=Probes(readiness=Probe(http_get="/v2/models/digits/ready", period=2), startup=Probe(period=2)),
    **_READS,
)
SECRETS = replace(FACTS, secret_versions={"db": "0d4f/17"})

SOURCE = """\
def build(rows: int = 10) -> dict[str, list[int]]:
    return {"x": list(range(rows))}
"""
JOB = FeatureJob(
    name="digits", source=SOURCE, output="s3://features/digits", version="2026-11-23", parameters={"rows": 5}
)
CRON = FeatureCronJob(
    job=JOB.replace(version=None, gpu=Gpu(1)), schedule="15 3 * * *", time_zone="Europe/Berlin"
)


def rendered() -> dict[str, list[Manifest]]:
    """Return the manifests of every case by the name of its snapshot."""
    return {
        "service-plain": render_service(PLAIN, FACTS),
        "service-gpu-autoscaled": render_service(SCALED, FACTS),
        "service-outside": render_service(OUTSIDE, FACTS),
        "service-inside": render_service(INSIDE, FACTS),
        "service-configured": render_service(CONFIGURED, SECRETS),
        "job": render_job(JOB, FACTS),
        "cron-job": render_cron_job(CRON, FACTS),
    }
