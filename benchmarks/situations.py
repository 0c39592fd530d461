"""What it takes to bring each kind of fault about, where that is more than one changed field."""

from __future__ import annotations

import base64
from typing import Any

from scene import HOOK, REGISTRY, Manifest, Scene

from mlk8s.local.pki import serving


def pods_metric(name: str, target: str = "1") -> Manifest:
    value = {"type": "AverageValue", "averageValue": target}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": value}}


IN_FLIGHT = pods_metric("requests_in_flight")
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}


def requests(**amounts: str) -> Manifest:
    return {"requests": {"cpu": "5m", "memory": "16Mi"} | amounts}


def limits(resources: Manifest) -> Manifest:
    return {"requests": resources, "limits": resources}


def claimed(scene: Scene) -> Manifest:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "x"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    return scene.pod(scene.container(volumeMounts=mounts), volumes=volumes)


def env_key(scene: Scene, secret: str, key: str) -> Manifest:
    source = {"secretKeyRef": {"name": secret, "key": key}}
    return scene.deployment(scene.container(env=[{"name": "USER", "valueFrom": source}]))


def mounted(scene: Scene, volume: Manifest) -> Manifest:
    mounts = [{"name": "keys", "mountPath": "/keys"}]
    return scene.deployment(scene.container(volumeMounts=mounts), volumes=[{"name": "keys", **volume}])


def probe(path: str, **more: Any) -> Manifest:
    return {"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1, "failureThreshold": 2, **more}


def quota(scene: Scene) -> list[Manifest]:
    body = {"hard": {"requests.cpu": "1m", "pods": "5"}}
    return [scene.object("v1", "ResourceQuota", "small", spec=body), scene.deployment()]


def limit_range(scene: Scene) -> list[Manifest]:
    body = {"limits": [{"type": "Container", "max": {"memory": "32Mi"}}]}
    return [scene.object("v1", "LimitRange", "small", spec=body), scene.deployment()]


PODS_MADE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def only_in(scene: Scene) -> Manifest:
    return {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}


def webhook(scene: Scene, service: str = "absent", **client: str) -> list[Manifest]:
    hook = {
        "name": "check.example.com",
        "clientConfig": {"service": {"namespace": scene.namespace, "name": service, "path": "/"}, **client},
        "rules": [PODS_MADE],
        "namespaceSelector": only_in(scene),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    kind = "ValidatingWebhookConfiguration"
    metadata = {"name": scene.namespace}
    api = "admissionregistration.k8s.io/v1"
    return [{"apiVersion": api, "kind": kind, "metadata": metadata, "webhooks": [hook]}, scene.deployment()]


def denying_webhook(scene: Scene) -> list[Manifest]:
    """A webhook that answers, and says no."""
    pair = serving("hook", (f"hook.{scene.namespace}.svc",))
    text = {key: base64.b64encode(value).decode() for key, value in pair.items()}
    keys = scene.object("v1", "Secret", "hook", data=text)
    mounts = [{"name": "keys", "mountPath": "/keys"}]
    volumes = [{"name": "keys", "secret": {"secretName": "hook"}}]
    pod = scene.pod(scene.container(HOOK, volumeMounts=mounts), name="hook", volumes=volumes)
    pod["metadata"]["labels"] = {"app": "hook"}
    ports = [{"port": 443, "targetPort": 8443}]
    service = scene.service(selector={"app": "hook"}, ports=ports)
    service["metadata"]["name"] = "hook"
    return [keys, pod, service, *webhook(scene, "hook", caBundle=text["ca.crt"])]


def policy(scene: Scene) -> list[Manifest]:
    api, metadata = "admissionregistration.k8s.io/v1", {"name": scene.namespace}
    body = {
        "matchConstraints": {"resourceRules": [PODS_MADE], "namespaceSelector": only_in(scene)},
        "validations": [
            {"expression": "has(object.metadata.labels.team)", "message": "pods need a label team"}
        ],
    }
    binding = {"policyName": scene.namespace, "validationActions": ["Deny"],
               "matchResources": {"namespaceSelector": only_in(scene)}}  # fmt: skip
    kind = "ValidatingAdmissionPolicy"
    return [
        {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": body},
        {"apiVersion": api, "kind": f"{kind}Binding", "metadata": metadata, "spec": binding},
        scene.deployment(),
    ]


def storage_class(scene: Scene, provisioner: str) -> Manifest:
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": scene.namespace},
            "provisioner": provisioner, "volumeBindingMode": "Immediate"}  # fmt: skip


def access_mode(scene: Scene) -> list[Manifest]:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": scene.namespace},
        "spec": {
            "capacity": {"storage": "10Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": scene.namespace,
            "hostPath": {"path": "/tmp"},
        },
    }
    return [volume, scene.claim(mode="ReadWriteMany", storageClassName=scene.namespace)]


def registry(scene: Scene, port: int) -> list[Manifest]:
    """A registry on the node's loopback, which the kubelet speaks plain HTTP to, and a pod with its image."""
    host = scene.pod(scene.container(REGISTRY), name="registry", hostNetwork=True)
    return [host, scene.pod(scene.container(image=f"127.0.0.1:{port}/team/model:1"))]


def network_policy(scene: Scene) -> list[Manifest]:
    body = {"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}]}]}  # fmt: skip
    closed = scene.object("networking.k8s.io/v1", "NetworkPolicy", "closed", spec=body)
    return [*scene.served(), closed, scene.ingress()]


def budget(scene: Scene) -> list[Manifest]:
    body = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    return [scene.object("policy/v1", "PodDisruptionBudget", spec=body), scene.deployment()]


OOM = "x = bytearray(300_000_000)"
SPREAD = [{"maxSkew": 1, "topologyKey": "no/such", "whenUnsatisfiable": "DoNotSchedule",
           "labelSelector": {"matchLabels": {"app": "x"}}}]  # fmt: skip
ABSENT = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "absent"}}}
AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ABSENT]}}
OPEN = {"pod-security.kubernetes.io/enforce": "privileged"}  # for a pod on the node's own network
PORT = [{"name": "http", "containerPort": 8080}]
