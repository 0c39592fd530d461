"""Faults that users meet, each as manifests for a namespace of its own, with the cause that must be named.

`why.py` injects all of them and asks once; tests/e2e/test_why.py takes a selection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from scene import IDLE, SERVER, Manifest, Scene
from situations import (
    AFFINITY,
    CPU,
    IN_FLIGHT,
    OOM,
    OPEN,
    PORT,
    SPREAD,
    access_mode,
    budget,
    claimed,
    denying_webhook,
    env_key,
    limit_range,
    limits,
    mounted,
    network_policy,
    pods_metric,
    policy,
    probe,
    quota,
    registry,
    requests,
    storage_class,
    webhook,
)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        asks: what `why` is asked.
        cause: the id that it must answer.
        words: regular expression of its sentence.
        make: the manifests, in order.
        labels: of the namespace.
        deletes: 'KIND/NAME' that is deleted afterwards.
        refused: whether the API server refuses the pods, which it does a moment after it was told to.
        needs: the optional part that the cluster must have, `keda` or `vpa`.
        without: the optional part that it must not have: another cause would be the right one.
    """

    name: str
    asks: str
    cause: str
    words: str
    make: Callable[[Scene], list[Manifest]]
    labels: dict[str, str] = field(default_factory=dict)
    deletes: str | None = None
    refused: bool = False
    needs: str | None = None
    without: str | None = None

    def fits(self, parts: Collection[str]) -> bool:
        """Return whether a cluster with these optional parts can have the fault."""
        return (self.needs is None or self.needs in parts) and self.without not in parts


FAULTS: list[Fault] = [
    # a pod that no node takes
    Fault("cpu", "pod/x", "insufficient-cpu", r"requests 64 cpu, .* the largest has \d+",
          lambda s: [s.pod(s.container(resources=requests(cpu="64")))]),
    Fault("memory", "x", "insufficient-memory", r"requests 900Gi memory, .* the largest has",
          lambda s: [s.deployment(s.container(resources=requests(memory="900Gi")))]),
    Fault("gpu", "deployment/x", "insufficient-device", r"requests 9 nvidia.com/gpu",
          lambda s: [s.deployment(s.container(resources=limits({"nvidia.com/gpu": 9})))]),
    Fault("node-selector", "pod/x", "node-selector", r"no node has the label gpu-type=a100",
          lambda s: [s.pod(nodeSelector={"gpu-type": "a100"})]),
    Fault("pod-affinity", "pod/x", "pod-affinity", r"pod affinity rules",
          lambda s: [s.pod(affinity=AFFINITY)]),
    Fault("topology-spread", "pod/x", "topology-spread", r"topology spread constraints",
          lambda s: [s.pod(topologySpreadConstraints=SPREAD)]),
    Fault("gate", "pod/x", "scheduling-gated", r"gate: example.com/budget",
          lambda s: [s.pod(schedulingGates=[{"name": "example.com/budget"}])]),
    Fault("scheduler", "pod/x", "no-scheduler", r"'absent-scheduler'",
          lambda s: [s.pod(schedulerName="absent-scheduler")]),
    # storage
    Fault("claim-missing", "pod/x", "claim-missing", r"PersistentVolumeClaim x, which is not there",
          lambda s: [claimed(s)]),
    Fault("class-missing", "pod/x", "class-missing", r"claim x is not bound: there is no StorageClass 'fast'",
          lambda s: [s.claim(storageClassName="fast"), claimed(s)]),
    Fault("no-provisioner", "pvc/x", "no-provisioner", r"provisioner example.com/absent",
          lambda s: [storage_class(s, "example.com/absent"), s.claim(storageClassName=s.namespace)]),
    Fault("no-consumer", "pvc/x", "no-consumer", r"no pod mounts it", lambda s: [s.claim()]),
    Fault("access-mode", "pvc/x", "access-mode", r"no volume offers ReadWriteMany", access_mode),
    Fault("no-volume", "pvc/x", "no-volume", r"without a class", lambda s: [s.claim(storageClassName="")]),
    # refused by the API server
    Fault("quota", "deployment/x", "quota", r"exceeded quota: small", quota, refused=True),
    Fault("limit-range", "deployment/x", "limit-range", r"maximum memory usage per Container is 32Mi",
          limit_range, refused=True),
    Fault("pod-security", "deployment/x", "pod-security", r'violates PodSecurity "restricted',
          lambda s: [s.deployment(securityContext={})],
          labels={"pod-security.kubernetes.io/enforce": "restricted"}),
    Fault("service-account", "deployment/x", "missing-service-account", r'serviceaccount "absent" not found',
          lambda s: [s.deployment(serviceAccountName="absent")]),
    Fault("priority-class", "deployment/x", "missing-priority-class", r"PriorityClass with name absent",
          lambda s: [s.deployment(priorityClassName="absent")]),
    Fault("webhook", "deployment/x", "webhook-unreachable", r'failed calling webhook "check.example.com"',
          webhook, refused=True),
    Fault("webhook-denies", "deployment/x", "webhook-denied", r"they have app",
          denying_webhook, refused=True),
    Fault("admission-policy", "deployment/x", "admission-policy", r"pods need a label team",
          policy, refused=True),
    # the image
    Fault("registry", "pod/x", "registry-unreachable", r"registry.example.com",
          lambda s: [s.pod(s.container(image="registry.example.com/team/model:1"))]),
    Fault("image-not-found", "pod/x", "image-not-found", r"not found",
          lambda s: registry(s, 5901), labels=OPEN),
    Fault("image-unauthorized", "pod/x", "image-unauthorized", r"(?i)401|authoriz",
          lambda s: registry(s, 5902), labels=OPEN),
    Fault("image-name", "pod/x", "image-name", r"(?i)invalid",
          lambda s: [s.pod(s.container(image="Team/Model:1:2"))]),
    Fault("image-never", "pod/x", "image-never-pulled", r"pull policy",
          lambda s: [s.pod(s.container(image="localhost/absent:1", imagePullPolicy="Never"))]),
    # configuration
    Fault("secret", "deployment/x", "missing-secret", r'secret "absent" not found',
          lambda s: [env_key(s, "absent", "user")]),
    Fault("secret-key", "deployment/x", "missing-key", r"couldn't find key password",
          lambda s: [s.secret(), env_key(s, "keys", "password")]),
    Fault("mounted-key", "deployment/x", "missing-key", r"non-existent secret key: password",
          lambda s: [s.secret(), mounted(s, {"secret": {"secretName": "keys",
                                                        "items": [{"key": "password", "path": "p"}]}})]),
    Fault("configmap", "deployment/x", "missing-configmap", r'configmap "absent" not found',
          lambda s: [mounted(s, {"configMap": {"name": "absent"}})]),
    Fault("root", "pod/x", "runs-as-root", r"(?i)non-?root",
          lambda s: [s.pod(securityContext={"runAsNonRoot": True, "runAsUser": 0})]),
    # containers
    Fault("crash", "deployment/x", "crash-loop", r"exit code 3.*its last words: 'no model here'",
          lambda s: [s.deployment(s.container("print('no model here'); raise SystemExit(3)"))]),
    Fault("exit-0", "deployment/x", "exits-cleanly", r"exit code 0",
          lambda s: [s.deployment(s.container("print('done')"))]),
    Fault("command", "pod/x", "command-not-found", r'"serve-it": executable file not found',
          lambda s: [s.pod(s.container(command=["serve-it"]))]),
    Fault("oom", "x", "out-of-memory", r"main was killed .* limit \(64Mi\)",
          lambda s: [s.deployment(s.container(OOM))]),
    Fault("init-oom", "deployment/x", "out-of-memory", r"init container load was killed",
          lambda s: [s.deployment(initContainers=[s.container(OOM, "load")])]),
    Fault("init-fails", "deployment/x", "init-failed", r"wait failed with exit code 7",
          lambda s: [s.deployment(initContainers=[s.container("raise SystemExit(7)", "wait")])]),
    Fault("init-hangs", "pod/x", "init-hangs", r"wait has been running",
          lambda s: [s.pod(initContainers=[s.container("print('waiting', flush=True);" + IDLE, "wait")])]),
    Fault("startup", "deployment/x", "startup-probe", r"startup probe \(GET /up on port 8080\)",
          lambda s: [s.deployment(s.container(startupProbe=probe("/up")))]),
    Fault("readiness", "deployment/x", "readiness-probe", r"statuscode: 503",
          lambda s: [s.deployment(s.container(SERVER, env=[{"name": "STATUS", "value": "503"}],
                                              readinessProbe=probe("/ready")))]),
    Fault("liveness", "deployment/x", "liveness-probe", r"liveness probe \(GET /alive on port 8080\)",
          lambda s: [s.deployment(s.container(livenessProbe=probe("/alive")))]),
    Fault("node-refuses", "pod/x", "evicted", r"OutOfcpu",
          lambda s: [s.pod(s.container(resources=requests(cpu="64")), nodeName=s.node)]),
    # an autoscaler without its metric
    Fault("hpa-no-scrape", "hpa/x", "hpa-no-scrape", r"does not scrape the pods",
          lambda s: s.scaled(IN_FLIGHT, scrape=False)),
    Fault("hpa-target-down", "hpa/x", "hpa-target-down", r"cannot scrape pod",
          lambda s: s.scaled(IN_FLIGHT, port=9999)),
    Fault("hpa-no-series", "hpa/x", "hpa-no-series", r"expose no series requests_in_flight_seconds_total",
          lambda s: s.scaled(IN_FLIGHT)),
    Fault("hpa-no-rule", "hpa/x", "hpa-no-rule", r"no rule that makes tokens_per_second",
          lambda s: s.scaled(pods_metric("tokens_per_second"), series="tokens_total")),
    Fault("hpa-external", "hpa/x", "hpa-no-rule", r"no rule that makes queue_length",
          lambda s: s.scaled({"type": "External", "external": {"metric": {"name": "queue_length"},
                                                               "target": {"type": "Value", "value": "1"}}}),
          without="keda"),
    Fault("hpa-no-request", "hpa/x", "hpa-no-request", r"percentage of the requested cpu",
          lambda s: [s.deployment(s.container(resources={})), s.hpa(CPU)]),
    Fault("hpa-no-target", "hpa/x", "hpa-no-target", r"Deployment y, which is not there",
          lambda s: [s.deployment(), s.hpa(CPU, target="y")]),
    Fault("hpa-at-max", "hpa/x", "hpa-at-max", r"more than its maximum of 1 replicas",
          lambda s: s.scaled(IN_FLIGHT, series="requests_in_flight_seconds_total", most=1)),
    # 503, 502 and 404 from the Ingress
    Fault("no-service", "ingress/x", "service-missing", r"Service y, which is not there",
          lambda s: [*s.served(), s.ingress(service="y")]),
    Fault("service-port", "ingress/x", "service-port", r"port 8000 of Service x",
          lambda s: [*s.served(), s.ingress(port=8000)]),
    Fault("target-port", "ingress/x", "target-port", r"pods' port web",
          lambda s: [s.deployment(s.container(SERVER, ports=PORT)),
                     s.service(ports=[{"port": 80, "targetPort": "web"}]), s.ingress()]),
    Fault("selector", "ingress/x", "selector-mismatch", r"app=y matches no pod",
          lambda s: [s.deployment(), s.service(selector={"app": "y"}), s.ingress()]),
    Fault("no-endpoints", "ingress/x", "crash-loop", r"leads to Service x: none of its 1 pods is ready",
          lambda s: [s.deployment(s.container("raise SystemExit(1)")), s.service(), s.ingress()]),
    Fault("ingress-class", "ingress/x", "ingress-class-missing", r"class 'absent' is not there",
          lambda s: [*s.served(), s.ingress(ingressClassName="absent")]),
    Fault("tls", "ingress/x", "tls-secret", r"TLS Secret absent",
          lambda s: [*s.served(), s.ingress(tls=[{"secretName": "absent"}])]),
    Fault("network-policy", "ingress/x", "network-policy", r"NetworkPolicy closed", network_policy),
    Fault("route-gateway", "httproute/x", "route-refused", r"it asks for mlk8s-system/absent",
          lambda s: [*s.served(), s.route(gateway="absent")]),
    Fault("route-backend", "x", "service-missing", r"Service y, which is not there",
          lambda s: [*s.served(), s.route(service="y")]),
    # jobs
    Fault("job", "job/x", "job-failed", r"all 2 attempts failed.*exit code 5",
          lambda s: [s.job("print('no such column'); raise SystemExit(5)", limit=1)]),
    Fault("job-oom", "job/x", "out-of-memory", r"main was killed", lambda s: [s.job(OOM)]),
    Fault("job-deadline", "job/x", "job-deadline", r"deadline of 3 s",
          lambda s: [s.job(IDLE, activeDeadlineSeconds=3)]),
    Fault("job-suspended", "job/x", "job-suspended", r"suspended", lambda s: [s.job(IDLE, suspend=True)]),
    Fault("cron-suspended", "cronjob/x", "cron-suspended", r"starts nothing",
          lambda s: [s.cron("0 3 * * *", suspend=True)]),
    Fault("cron-schedule", "cronjob/x", "cron-schedule", r"never comes", lambda s: [s.cron("0 0 31 2 *")]),
    # rollouts, drains, deletion
    Fault("paused", "deployment/x", "rollout-paused", r"paused",
          lambda s: [s.deployment(spec={"paused": True})]),
    Fault("scaled-to-zero", "x", "scaled-to-zero", r"0 replicas",
          lambda s: [s.deployment(spec={"replicas": 0}), s.service()]),
    Fault("budget", "pdb/x", "disruption-budget", r"no pod may be evicted", budget),
    Fault("finalizer", "pod/x", "finalizer", r"example.com/keep",
          lambda s: [s.pod(meta={"finalizers": ["example.com/keep"]})], deletes="Pod/x"),
    Fault("namespace", "ns/.", "namespace-terminating", r"example.com/keep",
          lambda s: [s.pod(meta={"finalizers": ["example.com/keep"]})], deletes="Namespace/."),
]  # fmt: skip
