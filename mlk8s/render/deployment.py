"""The model server's pods: ConfigMap, ServiceAccount and Deployment of one workload."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import (
    MODEL,
    SPEC,
    Identity,
    Manifest,
    digest,
    manifest,
    model_version,
    needed,
    service_labels,
)
from mlk8s.render.facts import RenderFacts
from mlk8s.render.pod import (
    CREDENTIALS_DIR,
    TMP_LIMIT,
    container_security,
    credentials_mount,
    credentials_volume,
    empty_dir,
    env,
    pod_security,
    resources,
    scheduling,
    tmp_mount,
)
from mlk8s.render.routing import PORT, route_path, service_url
from mlk8s.render.stored import dump_spec
from mlk8s.spec.service import ModelService

MODEL_DIR = "/models"
PRE_STOP = 5
"""Seconds a pod goes on answering after it was told to end: until no proxy sends it new requests."""
_SLACK = 5  # seconds between the last answer and the kill
_HISTORY = 5  # old ReplicaSets that stay, to go back to


def storage_endpoint(spec: ModelService, facts: RenderFacts) -> str:
    """Return the S3 address as seen from the service's pods.

    Raises:
        UsageError: when neither the spec nor the platform names one.
    """
    return needed(spec.storage_endpoint or facts.storage_endpoint, "the object storage", "storage_endpoint")


def config_map(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the configuration of one version, as the environment that the pods read.

    Its name ends with the hash of its content and it is immutable: a change makes new pods, and an old pod
    that starts again still reads what it was made for.
    """
    path = route_path(spec, facts)
    data = {
        "MODEL_NAME": spec.name,
        "MODEL_URL": spec.model,
        "MODEL_VERSION": model_version(spec.model),
        "STORAGE_ENDPOINT": storage_endpoint(spec, facts),
        "BASE_PATH": "" if path == "/" else path,
        "SERVICE_ENDPOINT": f"http://{identity.instance}.{facts.namespace}.svc:{PORT}",
        "MAX_IN_FLIGHT": str(spec.max_in_flight),
        "SHUTDOWN_SECONDS": f"{spec.request_timeout:g}",
    }
    if spec.digest is not None:
        data["MODEL_DIGEST"] = spec.digest
    url = service_url(spec, facts)
    if url is not None:
        data["PUBLIC_ENDPOINT"] = url
    name = f"{identity.instance}-{digest(data)}"
    labels = service_labels(spec, identity)
    return manifest("v1", "ConfigMap", name, facts.namespace, labels, immutable=True, data=data)


def service_account(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return an account without rights and without a token: a model server does not call Kubernetes."""
    labels = service_labels(spec, identity)
    return manifest(
        "v1",
        "ServiceAccount",
        identity.instance,
        facts.namespace,
        labels,
        automountServiceAccountToken=False,
    )


def deployment(
    spec: ModelService, facts: RenderFacts, identity: Identity, config: Manifest, replicas: int | None
) -> Manifest:
    """Return the Deployment; `replicas` None leaves the number to an autoscaler.

    No pod of the old version goes before one of the new version answers (maxUnavailable 0, maxSurge 1).
    """
    labels = service_labels(spec, identity)
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
    body: Manifest = {} if replicas is None else {"replicas": replicas}
    body |= {
        "revisionHistoryLimit": _HISTORY,
        "progressDeadlineSeconds": ceil(spec.startup_timeout) + 60,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": identity.selector},
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": _pod(spec, facts, identity, config["metadata"]["name"]),
        },
    }
    stored = {MODEL: spec.model, SPEC: dump_spec(spec)}
    return manifest("apps/v1", "Deployment", identity.instance, facts.namespace, labels, stored, spec=body)


def _pod(spec: ModelService, facts: RenderFacts, identity: Identity, config: str) -> Manifest:
    scratch = spec.resources.ephemeral_storage
    return {
        "serviceAccountName": identity.instance,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": PRE_STOP + ceil(spec.request_timeout) + _SLACK,
        "topologySpreadConstraints": [
            _spread("kubernetes.io/hostname", identity),
            _spread("topology.kubernetes.io/zone", identity),
        ],
        **scheduling(spec.gpu),
        "initContainers": [_fetch(spec, facts, config)],
        "containers": [_server(spec, facts, config)],
        "volumes": [
            credentials_volume(spec.storage_secret),
            empty_dir("models", scratch),
            empty_dir("tmp", TMP_LIMIT),
        ],
    }


def _fetch(spec: ModelService, facts: RenderFacts, config: str) -> Manifest:
    return {
        "name": "fetch-model",
        "image": needed(spec.image or facts.server_image, "a model server image", "image"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.server.fetch"],
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": env({"MODEL_DIR": MODEL_DIR, "STORAGE_CREDENTIALS_DIR": CREDENTIALS_DIR}),
        "resources": resources(spec.resources),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            credentials_mount(),
            {"name": "models", "mountPath": MODEL_DIR},
            tmp_mount(),
        ],
    }


def _server(spec: ModelService, facts: RenderFacts, config: str) -> Manifest:
    live, ready = "/v2/health/live", "/v2/health/ready"
    return {
        "name": "server",
        "image": needed(spec.image or facts.server_image, "a model server image", "image"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.server"],
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": env({**spec.env, "MODEL_DIR": MODEL_DIR, "PORT": str(PORT)}),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": resources(spec.resources, spec.gpu),
        "securityContext": container_security(),
        "startupProbe": _probe(live, period=1, failures=ceil(spec.startup_timeout), timeout=2),
        "readinessProbe": _probe(ready, period=1, failures=3, timeout=2),
        # A server that is only busy must not be killed: half a minute of silence, not three missed seconds.
        "livenessProbe": _probe(live, period=5, failures=6, timeout=5),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MODEL_DIR, "readOnly": True},
            tmp_mount(),
        ],
    }


def _probe(path: str, *, period: int, failures: int, timeout: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _spread(key: str, identity: Identity) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": identity.selector},
        "matchLabelKeys": ["pod-template-hash"],
    }
