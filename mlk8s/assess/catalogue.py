"""Every cause that can be named: its id, the family it belongs to, and what it means."""

from __future__ import annotations

_FAMILIES: dict[str, dict[str, str]] = {
    "Unschedulable": {
        "insufficient-cpu": "no node has as much CPU free as the pod requests",
        "insufficient-memory": "no node has as much memory free as the pod requests",
        "insufficient-device": "no node has as many GPUs (or other devices) free as the pod requests",
        "insufficient-storage": "no node has as much ephemeral storage free as the pod requests",
        "too-many-pods": "every node runs as many pods as it may",
        "untolerated-taint": "the nodes have a taint that the pod does not tolerate",
        "node-selector": "no node has the labels of the pod's node selector or node affinity",
        "pod-affinity": "the pod's affinity to other pods, or theirs to it, leaves no node",
        "topology-spread": "the pod's topology spread constraints leave no node",
        "host-port": "the host port that the pod asks for is taken on every node",
        "volume-elsewhere": "the pod's volume is on a node or in a zone where the pod cannot run",
        "claim-missing": "the pod names a PersistentVolumeClaim that is not there",
        "claim-unbound": "the pod's PersistentVolumeClaim is not bound to a volume",
        "no-node": "the cluster has no node",
        "node-not-ready": "no node is ready, or the pod's node is not",
        "node-cordoned": "the nodes that would fit are cordoned",
        "scheduling-gated": "the pod has a scheduling gate that nothing has removed",
        "no-scheduler": "no scheduler of the name that the pod gives looks at it",
        "unschedulable": "the scheduler finds no node for another reason, in its own words",
    },
    "ImagePull": {
        "image-not-found": "the registry has no such image or tag",
        "image-unauthorized": "the registry refuses these credentials, or wants some",
        "registry-unreachable": "the node cannot reach the registry",
        "image-name": "the image's name is not one",
        "image-never-pulled": "the image is not on the node and the pull policy is Never",
        "image-pull": "the image cannot be pulled for another reason, in the kubelet's words",
    },
    "Config": {
        "missing-secret": "a Secret that the pod names is not there",
        "missing-configmap": "a ConfigMap that the pod names is not there",
        "missing-key": "a Secret or ConfigMap lacks a key that the pod names",
        "runs-as-root": "the image runs as root and the pod forbids it",
        "container-config": "the container cannot be made for another reason, in the kubelet's words",
    },
    "CrashLoop": {
        "command-not-found": "the container's command is not in the image, or may not be executed",
        "crash-loop": "the container ends with an error again and again",
        "exits-cleanly": "the container ends with exit code 0 although it should go on running",
    },
    "OutOfMemory": {"out-of-memory": "the container used more memory than its limit"},
    "InitContainer": {
        "init-failed": "an init container fails",
        "init-hangs": "an init container does not end",
    },
    "Probe": {
        "startup-probe": "the startup probe fails",
        "readiness-probe": "the readiness probe fails",
        "liveness-probe": "the liveness probe fails, and the kubelet restarts the container",
    },
    "Mount": {"volume-mount": "a volume cannot be mounted"},
    "Sandbox": {"sandbox": "the node cannot make the pod's sandbox or network"},
    "Evicted": {"evicted": "the node refused or evicted the pod"},
    "Node": {"node-lost": "the pod's node is not ready"},
    "Quota": {
        "quota": "a ResourceQuota of the namespace refuses the pod",
        "limit-range": "a LimitRange of the namespace refuses the pod",
    },
    "Admission": {
        "pod-security": "the namespace's Pod Security level refuses the pod",
        "webhook-denied": "an admission webhook refuses the object",
        "webhook-unreachable": "an admission webhook does not answer",
        "admission-policy": "a ValidatingAdmissionPolicy refuses the object",
        "missing-service-account": "the pod's ServiceAccount is not there",
        "missing-priority-class": "the pod's PriorityClass is not there",
        "missing-runtime-class": "the pod's RuntimeClass is not there",
        "refused": "the API server refuses the pods for another reason, in its own words",
    },
    "Pipeline": {"job-failed": "the Job's pod ends with an error until no attempt is left"},
    "Job": {
        "job-lost": "the Job failed without a pod that tells why",
        "job-suspended": "the Job is suspended",
    },
    "Deadline": {
        "job-deadline": "the Job was stopped at its deadline",
        "rollout-deadline": "the rollout made no progress within its deadline",
    },
    "Paused": {"rollout-paused": "the Deployment is paused"},
    "Rollout": {
        "scaled-to-zero": "the workload has 0 replicas",
        "disruption-budget": "a PodDisruptionBudget allows no eviction",
    },
    "CronJob": {
        "cron-suspended": "the CronJob is suspended",
        "cron-schedule": "the CronJob's schedule never comes",
        "cron-time-zone": "the CronJob's time zone is not known",
        "cron-missed": "the CronJob missed its starts",
        "cron-still-running": "the run before still goes on and the CronJob allows one at a time",
    },
    "Storage": {
        "class-missing": "the claim's StorageClass is not there",
        "no-default-class": "the claim names no StorageClass and the cluster has no default one",
        "no-provisioner": "nothing provisions volumes of the claim's class",
        "provisioning-failed": "the provisioner refuses the claim, in its own words",
        "access-mode": "no volume has the access mode that the claim asks for",
        "no-volume": "no PersistentVolume fits the claim, and its class makes none",
        "no-consumer": "the claim waits for a pod that mounts it, and there is none",
        "claim-lost": "the claim's volume is gone",
    },
    "Autoscaling": {
        "hpa-no-target": "the object that the HPA scales is not there",
        "hpa-no-pods": "the HPA's target has no pods to measure",
        "hpa-disabled": "the HPA's target has 0 replicas, which turns the HPA off",
        "hpa-no-request": "the pods request none of the resource that the HPA wants a percentage of",
        "hpa-api-missing": "the metrics API that the HPA asks is not registered",
        "hpa-api-down": "the metrics API that the HPA asks does not answer",
        "hpa-no-scrape": "Prometheus does not scrape the pods",
        "hpa-target-down": "Prometheus cannot reach the pods that it should scrape",
        "hpa-no-series": "the pods do not expose the series that the metric is made of",
        "hpa-no-rule": "the metrics adapter has no rule that makes the metric",
        "hpa-selector": "the HPA's selector is wrong, or several HPAs share pods",
        "hpa-metric": "the metric cannot be had for another reason, in the HPA's words",
        "hpa-at-max": "the HPA wants more replicas than its maximum",
    },
    "Traffic": {
        "no-ingress-class": "the Ingress names no class and the cluster has no default one",
        "ingress-class-missing": "the Ingress' class is not there",
        "tls-secret": "the Ingress' TLS Secret is not there or is no certificate",
        "route-refused": "no Gateway serves the HTTPRoute",
        "service-missing": "the Ingress or HTTPRoute leads to a Service that is not there",
        "service-port": "the Ingress or HTTPRoute leads to a port that the Service does not have",
        "target-port": "the Service leads to a port that the pods do not have",
        "selector-mismatch": "the Service's selector matches no pod",
        "network-policy": "a NetworkPolicy keeps the ingress controller from the pods",
        "load-balancer": "nothing gives the Service an external address",
    },
    "Deletion": {
        "finalizer": "the object is deleted but a finalizer holds it",
        "pod-terminating": "the pod should have ended, but its node does not say so",
        "namespace-terminating": "the namespace is being deleted",
    },
}

CAUSES: dict[str, str] = {key: text for causes in _FAMILIES.values() for key, text in causes.items()}
"""id → what it means."""

FAMILY: dict[str, str] = {key: family for family, causes in _FAMILIES.items() for key in causes}
"""id → its family."""
