"""Whether NetworkPolicy is enforced, tried with two pods and two policies in a namespace of their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from mlk8s.assess.doctor_facts import ProbeFacts, Unknown
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Rejected
from mlk8s.render.pod import container_security, pod_security

Say = Callable[[str], None]
PORT = 8080
FALLBACK_IMAGE = "docker.io/library/python:3.13-alpine"
_START = 90.0
"""Seconds for both pods to run and meet."""
_FOLLOW = 20.0
"""Seconds an agent may take to follow a policy."""
_POLL = 0.3
_HOPELESS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerError",
)
_SERVER = """
import socket
s = socket.create_server(("", %d))
while True: s.accept()[0].close()
"""
_CLIENT = """
import socket, time
last, end = None, time.time() + 300
while time.time() < end:
    try:
        socket.create_connection(("%s", %d), 1).close(); now = "open"
    except OSError: now = "closed"
    if now != last: print(now, flush=True); last = now
    time.sleep(0.2)
"""


def restricted_pod(
    namespace: str, name: str = "mlk8s-doctor", image: str | None = None, script: str = ""
) -> dict[str, Any]:
    """Return a pod that passes Pod Security `restricted`, as our pods do."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"mlk8s.dev/probe": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": 300,
            "securityContext": pod_security(),
            "containers": [
                {
                    "name": "probe",
                    "image": image or FALLBACK_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", script],
                    "securityContext": container_security(),
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "200m", "memory": "64Mi"},
                    },
                }
            ],
        },
    }


def privileged_pod(namespace: str) -> dict[str, Any]:
    """Return a pod that Pod Security `baseline` and `restricted` refuse; for dry runs only."""
    pod = restricted_pod(namespace)
    pod["spec"]["securityContext"] = {}
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return pod


def probe_policy(cluster: Cluster, image: str | None, *, say: Say = print) -> ProbeFacts | Unknown:
    """Try a denied connection in both directions; the namespace is deleted at the end, whatever happens.

    Args:
        image: image with python3; None means a public one.

    Returns:
        What was enforced, or why the pods never met.

    Raises:
        Forbidden: namespaces, pods or policies may not be made.
    """
    namespace = f"mlk8s-doctor-{secrets.token_hex(3)}"
    say(f"probe: two pods in the temporary namespace {namespace}")
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/managed-by": "mlk8s"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    )
    try:
        return _Probe(cluster, namespace, image, say).run()
    finally:
        cluster.delete("Namespace", namespace)
        say(f"probe: namespace {namespace} is being deleted")


class _Probe:
    def __init__(self, cluster: Cluster, namespace: str, image: str | None, say: Say) -> None:
        self._cluster, self._namespace, self._image, self._say = cluster, namespace, image, say

    def run(self) -> ProbeFacts | Unknown:
        end = time.monotonic() + _START
        self._create("server", _SERVER % PORT)
        address = self._address(end)
        if address is None:
            return Unknown(f"the server pod does not run: {self._state('server')}")
        self._create("client", _CLIENT % (address, PORT))
        if not self._sees("open", end - time.monotonic()):
            return Unknown(f"the client never reached the server: {self._state('client')}")
        ingress = self._denied("server", "Ingress")
        if not self._sees("open", _FOLLOW):
            return ProbeFacts(ingress, None)
        return ProbeFacts(ingress, self._denied("client", "Egress"))

    def _denied(self, pod: str, direction: str) -> bool:
        """Deny everything in one direction of one pod, see whether connections end, and allow it again."""
        name = f"deny-{direction.lower()}"
        spec = {"podSelector": {"matchLabels": {"mlk8s.dev/probe": pod}}, "policyTypes": [direction]}
        metadata = {"name": name, "namespace": self._namespace}
        self._cluster.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": metadata,
                "spec": spec,
            }
        )
        closed = self._sees("closed", _FOLLOW)
        word = "refused" if closed else "not refused"
        self._say(f"probe: {direction.lower()} {word} under a policy that denies it")
        self._cluster.delete("NetworkPolicy", name, self._namespace)
        return closed

    def _create(self, name: str, script: str) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                self._cluster.create(restricted_pod(self._namespace, name, self._image, script))
                return
            except Rejected as error:
                # a new namespace gets its service account a moment later
                if "serviceaccount" not in error.what or time.monotonic() > end:
                    raise
                time.sleep(_POLL)

    def _address(self, end: float) -> str | None:
        while time.monotonic() < end:
            status = self._cluster.get("Pod", "server", self._namespace).get("status", {})
            if status.get("phase") == "Running" and status.get("podIP"):
                return str(status["podIP"])
            if self._state("server").startswith(_HOPELESS):
                return None
            time.sleep(_POLL)
        return None

    def _sees(self, word: str, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            status = self._cluster.get("Pod", "client", self._namespace).get("status", {})
            if status.get("phase") not in ("Pending", None):
                lines = self._cluster.logs("client", self._namespace).split()
                if lines and lines[-1] == word:
                    return True
            time.sleep(_POLL)
        return False

    def _state(self, pod: str) -> str:
        status = self._cluster.get("Pod", pod, self._namespace).get("status", {})
        for container in status.get("containerStatuses") or []:
            for state in (container.get("state") or {}).values():
                if state.get("reason"):
                    return f"{state['reason']}: {state.get('message', '')}".rstrip(": ")
        conditions = [one.get("message") for one in status.get("conditions") or [] if one.get("message")]
        return str(conditions[0] if conditions else status.get("phase", "it is not there"))
