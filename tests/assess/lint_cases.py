"""For every rule manifests that it must find something in, made from ones in which no rule finds anything.

A change is a path such as `deployment.spec.replicas` and what stands there then; None takes it away.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

GOOD = """
deployment:
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: team}
  spec:
    replicas: 2
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web, app.kubernetes.io/name: web}}
      spec:
        serviceAccountName: web
        automountServiceAccountToken: false
        terminationGracePeriodSeconds: 30
        securityContext:
          {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
        topologySpreadConstraints:
          - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}
        containers:
          - name: web
            image: registry.example.com/web:1.2
            env: [{name: MODE, value: fast}]
            envFrom: [{configMapRef: {name: web}}]
            ports: [{name: http, containerPort: 8080}]
            resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}
            readinessProbe: {httpGet: {path: /ready, port: http}}
            livenessProbe: {httpGet: {path: /live, port: 8080}}
            lifecycle: {preStop: {sleep: {seconds: 5}}}
            securityContext:
              {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
            volumeMounts: [{name: tmp, mountPath: /tmp}]
        volumes: [{name: tmp, emptyDir: {sizeLimit: 16Mi}}]
account: {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: team}}
config: {apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: team}, data: {LEVEL: info}}
service:
  apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: team}
  spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
ingress:
  apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {name: web, namespace: team, annotations: {}}
  spec:
    ingressClassName: nginx
    tls: [{hosts: [web.example.com], secretName: web-tls}]
    rules:
      - host: web.example.com
        http:
          paths:
            - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
policy:
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: web, namespace: team}
  spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 8080}]}]}
pdb:
  apiVersion: policy/v1
  kind: PodDisruptionBudget
  metadata: {name: web, namespace: team}
  spec: {maxUnavailable: 1, unhealthyPodEvictionPolicy: AlwaysAllow, selector: {matchLabels: {app: web}}}
"""

HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: team}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
"""
_POD = """
metadata: {labels: {app: job, app.kubernetes.io/name: job}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext:
    {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: job
      image: registry.example.com/job:1
      resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}
      securityContext:
        {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
"""
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job", "namespace": "team"},
    "spec": {"ttlSecondsAfterFinished": 60, "activeDeadlineSeconds": 60, "template": yaml.safe_load(_POD)},
}
CRON = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "cron", "namespace": "team"},
    "spec": {
        "schedule": "0 3 * * *",
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 60,
        "jobTemplate": {"spec": {"activeDeadlineSeconds": 60, "template": yaml.safe_load(_POD)}},
    },
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "web", "namespace": "team"},
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "web", "namespace": "team"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web"},
    "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "team"}],
}
STATEFUL = {
    "deployment.kind": "StatefulSet",
    "deployment.spec.serviceName": "web",
    "service.spec.clusterIP": "None",
}
AUTOSCALED = {"deployment.spec.replicas": None, "hpa": yaml.safe_load(HPA)}
BATCH = {"job": JOB, "cron": CRON, "role": ROLE, "binding": BINDING}

GOOD_SETS: dict[str, dict[str, Any]] = {
    "a served Deployment": {},
    "under an autoscaler": AUTOSCALED,
    "a StatefulSet": STATEFUL,
    "Jobs and roles": BATCH,
}

_C = "deployment.spec.template.spec.containers.0"
_S = "deployment.spec.template.spec"
_VOLUME = f"{_S}.volumes.0"
_RULE = "role.rules.0"


def _scaled(**changes: Any) -> dict[str, Any]:
    return AUTOSCALED | changes


def _copy_of(part: str, **metadata: Any) -> dict[str, Any]:
    item = copy.deepcopy(yaml.safe_load(GOOD)[part])
    item["metadata"] |= metadata
    return item


BAD: dict[str, dict[str, Any]] = {
    "run-as-non-root": {f"{_S}.securityContext.runAsNonRoot": None},
    "run-as-user": {f"{_S}.securityContext.runAsUser": 1000},
    "privilege-escalation": {f"{_C}.securityContext.allowPrivilegeEscalation": None},
    "privileged": {f"{_C}.securityContext.privileged": True},
    "drop-capabilities": {f"{_C}.securityContext.capabilities.drop": ["NET_RAW"]},
    "added-capabilities": {f"{_C}.securityContext.capabilities.add": ["SYS_ADMIN"]},
    "seccomp-profile": {f"{_S}.securityContext.seccompProfile.type": "Unconfined"},
    "read-only-root": {f"{_C}.securityContext.readOnlyRootFilesystem": False},
    "proc-mount": {f"{_C}.securityContext.procMount": "Unmasked"},
    "host-ports": {f"{_C}.ports.0.hostPort": 8080},
    "host-probes": {f"{_C}.livenessProbe.httpGet.host": "10.0.0.1"},
    "privileged-ports": {f"{_C}.ports.0.containerPort": 80},
    "host-namespaces": {f"{_S}.hostNetwork": True},
    "host-path": {_VOLUME: {"name": "tmp", "hostPath": {"path": "/etc"}}},
    "runtime-socket": {_VOLUME: {"name": "tmp", "hostPath": {"path": "/var/run/docker.sock"}}},
    "volume-types": {_VOLUME: {"name": "tmp", "nfs": {"server": "a", "path": "/"}}},
    "unsafe-sysctls": {f"{_S}.securityContext.sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
    "linux-security-modules": {f"{_C}.securityContext.appArmorProfile": {"type": "Unconfined"}},
    "host-process": {f"{_S}.securityContext.windowsOptions": {"hostProcess": True}},
    "cpu-request": {f"{_C}.resources.requests.cpu": None},
    "memory-limits": {f"{_C}.resources.limits.memory": None},
    "limits-below-requests": {f"{_C}.resources.limits.memory": "32Mi"},
    "ephemeral-storage": {f"{_C}.securityContext.readOnlyRootFilesystem": False},
    "empty-dir-limit": {_VOLUME: {"name": "tmp", "emptyDir": {}}},
    "node-name": {f"{_S}.nodeName": "node-1"},
    "tolerates-all": {f"{_S}.tolerations": [{"operator": "Exists"}]},
    "liveness-probe": {f"{_C}.livenessProbe": None},
    "readiness-probe": {f"{_C}.readinessProbe": None},
    "startup-probe": {f"{_C}.livenessProbe.initialDelaySeconds": 120},
    "identical-probes": {f"{_C}.livenessProbe": {"httpGet": {"path": "/ready", "port": "http"}}},
    "probe-port": {f"{_C}.readinessProbe.httpGet.port": "htpp"},
    "init-probes": {f"{_S}.initContainers": [{"name": "init", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
    "grace-period": {f"{_C}.lifecycle.preStop.sleep.seconds": 30},
    "container-ports": {f"{_S}.containers.1": {"name": "b", "ports": [{"name": "b", "containerPort": 8080}]}},
    "bare-pod": {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}},
    "bare-replica-set": {"deployment.kind": "ReplicaSet"},
    "removed-api": {"pdb.apiVersion": "policy/v1beta1"},
    "selector-mismatch": {"deployment.spec.selector.matchLabels.app": "wob"},
    "minimum-replicas": {"deployment.spec.replicas": 1},
    "rollout-strategy": {"deployment.spec.strategy": {"type": "Recreate"}},
    "update-on-delete": STATEFUL | {"deployment.spec.updateStrategy": {"type": "OnDelete"}},
    "spread": {f"{_S}.topologySpreadConstraints": None},
    "stateful-set-service": STATEFUL | {"service.spec.clusterIP": None},
    "duplicate-object": {"again": _copy_of("config")},
    "network-policy": {"policy.spec.podSelector": {"matchLabels": {"app": "other"}}},
    "policy-allows-all": {"policy.spec.egress": [{}]},
    "node-port": {"service.spec.type": "NodePort"},
    "external-ips": {"service.spec.externalIPs": ["192.0.2.1"]},
    "ingress-class": {"ingress.spec.ingressClassName": None},
    "ingress-tls": {"ingress.spec.tls": None},
    "ingress-snippet": {
        "ingress.metadata.annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "x"}
    },
    "ingress-conflict": {"other": _copy_of("service", name="other"),
                         "again": _copy_of("ingress", name="again"),
                         "again.spec.rules.0.http.paths.0.backend.service.name": "other"},
    "hpa-minimum": _scaled(**{"hpa.spec.minReplicas": 1}),
    "hpa-range": _scaled(**{"hpa.spec.maxReplicas": 2}),
    "dangling-autoscaler": _scaled(**{"hpa.spec.scaleTargetRef.name": "wob"}),
    "fixed-replicas": _scaled(**{"deployment.spec.replicas": 2}),
    "several-autoscalers": _scaled(
        second={
            "apiVersion": "autoscaling.k8s.io/v1",
            "kind": "VerticalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "team"},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        }
    ),
    "hpa-needs-requests": _scaled(**{f"{_C}.resources.requests.cpu": None}),
    "disruption-budget": {"pdb": None},
    "blocking-budget": {"pdb.spec.maxUnavailable": None, "pdb.spec.minAvailable": 2},
    "unhealthy-eviction": {"pdb.spec.unhealthyPodEvictionPolicy": None},
    "several-budgets": {"second": _copy_of("pdb", name="second")},
    "plain-secret": {f"{_C}.env": [{"name": "DB_PASSWORD", "value": "hunter2"}]},
    "secret-as-env": {f"{_C}.envFrom": [{"secretRef": {"name": "db"}}]},
    "secret-in-config-map": {"config.data.API_KEY": "abcdef0123456789"},
    "secret-in-manifest": {
        "secret": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}
    },
    "job-ttl": BATCH | {"job.spec.ttlSecondsAfterFinished": None},
    "job-deadline": BATCH | {"job.spec.activeDeadlineSeconds": None},
    "job-restart-policy": BATCH | {"job.spec.template.spec.restartPolicy": "Always"},
    "cron-deadline": BATCH | {"cron.spec.startingDeadlineSeconds": None},
    "cron-overlap": BATCH | {"cron.spec.concurrencyPolicy": None},
    "cron-schedule": BATCH | {"cron.spec.schedule": "0 25 * * *"},
    "indexed-job": BATCH | {"job.spec.completionMode": "Indexed"},
    "rbac-wildcard": BATCH | {f"{_RULE}.verbs": ["*"]},
    "cluster-admin": BATCH | {"binding.roleRef.name": "cluster-admin"},
    "reads-secrets": BATCH | {f"{_RULE}.resources": ["secrets"]},
    "creates-pods": BATCH | {f"{_RULE}.resources": ["pods"], f"{_RULE}.verbs": ["create"]},
    "pod-exec": BATCH | {f"{_RULE}.resources": ["pods/exec"], f"{_RULE}.verbs": ["create"]},
    "rbac-escalation": BATCH | {f"{_RULE}.verbs": ["impersonate"]},
    "anonymous-access": BATCH | {"binding.subjects.0": {"kind": "User", "name": "system:anonymous"}},
    "default-account": BATCH | {"binding.subjects.0.name": "default"},
    "account-token": {f"{_S}.automountServiceAccountToken": None},
    "moving-tag": {f"{_C}.image": "registry.example.com:5000/web"},
    "default-namespace": {"config.metadata.namespace": "default"},
    "recommended-labels": {"deployment.spec.template.metadata.labels": {"app": "web"}},
    "names": {"service.metadata.name": "Web"},
    "text-expected": {f"{_C}.env.0.value": 8080},
    "duplicate-env": {f"{_C}.env.1": {"name": "MODE", "value": "slow"}},
    "volumes": {f"{_C}.volumeMounts.0.name": "temp"},
    "container-names": {f"{_S}.initContainers": [{"name": "web"}]},
    "dangling-service": {"service.spec.selector.app": "wob"},
    "dangling-selector": {"pdb.spec.selector.matchLabels.app": "wob"},
    "service-port": {"service.spec.ports.0.targetPort": "htpp"},
    "dangling-route": {"ingress.spec.rules.0.http.paths.0.backend.service.name": "wob"},
    "missing-reference": {
        f"{_C}.env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "no"}}}]
    },
    "shared-volume": {
        _VOLUME: {"name": "tmp", "persistentVolumeClaim": {"claimName": "data"}},
        "claim": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "team"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    },
}  # fmt: skip


def manifests(changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the good manifests with some changes, in order."""
    found: dict[str, Any] = copy.deepcopy(yaml.safe_load(GOOD))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = found
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        if isinstance(place, list):
            place[int(last) : int(last) + 1] = [copy.deepcopy(value)]
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = copy.deepcopy(value)
    return list(found.values())
