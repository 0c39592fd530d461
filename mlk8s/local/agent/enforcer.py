"""Keep the node's nftables equal to the cluster's NetworkPolicies.

Three mirrors (policies, pods, namespaces) and the addresses that the CNI plugin noted feed one thread, which
computes the whole table and replaces it when it differs. Changes that come together are applied together.

What is not filtered: traffic between a pod and its own node (so Kubernetes defines it, and kubelet's
probes need it), and connections that were established before a policy came.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Container
from pathlib import Path

from mlk8s.local.agent.api import Api, Mirror, Object
from mlk8s.local.agent.cni import CLAIMS, PATIENCE, SOCKET
from mlk8s.local.agent.policy import ruleset
from mlk8s.local.agent.selectors import addressed_pods, reduce_pod

_log = logging.getLogger(__name__)


def _reduce_policy(policy: Object) -> Object:
    metadata = policy["metadata"]
    return {
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
        "spec": policy["spec"],
    }


def _reduce_namespace(namespace: Object) -> Object:
    return {"name": namespace["metadata"]["name"], "labels": namespace["metadata"].get("labels") or {}}


class Enforcer:
    """The NetworkPolicy controller of one node."""

    def __init__(self, api: Api) -> None:
        self._state = threading.Condition()
        self._wanted = 0  # number of the newest change
        self._applied = 0  # number of the newest change that the kernel knows
        self._known: frozenset[str] = frozenset()  # uids whose addresses the applied rules have
        self._text = ""
        self._policies = Mirror(
            api, "/apis/networking.k8s.io/v1/networkpolicies", _reduce_policy, self._changed
        )
        self._pods = Mirror(api, "/api/v1/pods", reduce_pod, self._changed)
        self._namespaces = Mirror(api, "/api/v1/namespaces", _reduce_namespace, self._changed)

    def start(self) -> None:
        """Start the mirrors, the applying thread and the CNI plugin's socket."""
        mirrors = (self._policies, self._pods, self._namespaces)
        for mirror in mirrors:
            mirror.start()
        threading.Thread(target=self._run, args=(mirrors,), name="enforcer", daemon=True).start()

    def _changed(self) -> None:
        with self._state:
            self._wanted += 1
            self._state.notify_all()

    def _run(self, mirrors: tuple[Mirror, ...]) -> None:
        for mirror in mirrors:
            mirror.synced.wait()  # the last table stays in force until all facts are known
        threading.Thread(target=self._serve, name="cni", daemon=True).start()
        self._changed()
        while True:
            with self._state:
                self._state.wait_for(lambda: self._wanted > self._applied)
                number = self._wanted
            try:
                known = self._apply()
            except (OSError, subprocess.SubprocessError) as error:
                _log.warning("%s", error)
                time.sleep(1)
                continue
            with self._state:
                self._applied, self._known = number, known
                self._state.notify_all()

    def _apply(self) -> frozenset[str]:
        pods = dict(self._pods.objects)
        claims = _claims(pods.keys())
        namespaces = {item["name"]: item["labels"] for item in self._namespaces.objects.values()}
        text = ruleset(self._policies.objects.values(), addressed_pods(pods, claims), namespaces)
        if text != self._text:
            done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False)
            if done.returncode != 0:
                raise OSError(f"nft refused the rules: {done.stderr.strip()[:500]}")
            self._text = text
        return frozenset(claims)

    def _serve(self) -> None:
        Path(SOCKET).parent.mkdir(parents=True, exist_ok=True)
        Path(SOCKET).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(SOCKET)
            server.listen(64)
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        """Tell the CNI plugin when the applied rules know its pod."""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(PATIENCE)
            uid = connection.recv(128).decode().strip()
            self._changed()
            with self._state:
                number = self._wanted
                ready = self._state.wait_for(
                    lambda: self._applied >= number and uid in self._known, timeout=PATIENCE - 5
                )
            connection.sendall(b"ok\n" if ready else b"no\n")


def _claims(pods: Container[str]) -> dict[str, str]:
    """Addresses handed out on this node by pod uid; notes of pods long gone are removed."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(CLAIMS):
            if entry.name.startswith("."):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.name in pods:
                    found[entry.name] = Path(entry.path).read_text()
                elif time.time() - entry.stat().st_mtime > 60:
                    Path(entry.path).unlink()
    return found
