"""Containers as every pod of ours has them: hardened, with what they read mounted, and asked by probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from mlk8s.render.common import Manifest
from mlk8s.render.configuration import config_maps, environment, file_mounts, file_volumes
from mlk8s.render.pod import TMP_LIMIT, container_security, empty_dir, resources, tmp_mount
from mlk8s.spec.container import TIMING, Container, Probe


def container(spec: Container) -> Manifest:
    """Return a container's manifest; it passes the Pod Security Standard `restricted`."""
    fields: Manifest = {"name": spec.name, "image": spec.image, "imagePullPolicy": "IfNotPresent"}
    if spec.command:
        fields["command"] = list(spec.command)
    if spec.args:
        fields["args"] = list(spec.args)
    if variables := environment(spec):
        fields["env"] = variables
    if spec.ports:
        fields["ports"] = [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in spec.ports.items()
        ]
    fields |= {"resources": resources(spec.resources), "securityContext": container_security()}
    default = Probe(port=next(iter(spec.ports.values()))) if spec.ports else Probe()
    for role, given in spec.probes.items() if spec.probes else ():
        fields[f"{role}Probe"] = probe(given.over(TIMING[role]).over(default))
    return {
        **fields,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *({"name": volume, "mountPath": path} for path, volume in spec.mounts.items()),
            *file_mounts(spec, spec.name),
            {**tmp_mount(), "name": _tmp(spec)},
        ],
    }


def sidecar(spec: Container) -> Manifest:
    """Return a native sidecar: it starts before the main containers, restarts by itself, and ends after them.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    return {**container(spec), "restartPolicy": "Always"}


def container_volumes(containers: Iterable[Container], owner: str) -> list[Manifest]:
    """Return the volumes that the containers bring with them: scratch space, files, Secrets.

    Args:
        owner: name of the workload: what its ConfigMaps are named after.
    """
    volumes: list[Manifest] = []
    for spec in containers:
        volumes += [empty_dir(_tmp(spec), TMP_LIMIT), *file_volumes(spec, spec.name, owner)]
    return volumes


def container_configs(
    containers: Iterable[Container], owner: str, namespace: str, labels: Mapping[str, str]
) -> list[Manifest]:
    """Return the ConfigMaps of the containers' files."""
    return [item for spec in containers for item in config_maps(spec, spec.name, owner, namespace, labels)]


def probe(spec: Probe) -> Manifest:
    """Return a probe whose every value is known; a port that is None is that named `http`."""
    if spec.command:
        question: Manifest = {"exec": {"command": list(spec.command)}}
    elif spec.tcp:
        question = {"tcpSocket": {"port": spec.port or "http"}}
    else:
        question = {"httpGet": {"path": spec.http_get, "port": spec.port or "http"}}
    delay = {"initialDelaySeconds": int(spec.initial_delay)} if spec.initial_delay else {}
    return {
        **question,
        **delay,
        "periodSeconds": ceil(spec.period or 1),
        "timeoutSeconds": ceil(spec.timeout or 1),
        "failureThreshold": spec.failures or 1,
    }


def _tmp(spec: Container) -> str:
    return f"tmp-{spec.name}"
