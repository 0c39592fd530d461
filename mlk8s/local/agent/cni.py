"""The last plugin of the node's CNI chain: a pod's network is ready only when its policies are in force.

containerd runs it for each pod after the address is known and before any container starts. It notes the
address for the agent, and waits until the agent says that its rules know it; so a pod is never open before
its policy. Standard library only, and few imports: it runs once a pod.
"""

from __future__ import annotations

import json
import os
import socket
import sys

CLAIMS = "/run/mlk8s/pods"
"""One file a pod, named by its uid, holding its address; inside the node."""
SOCKET = "/run/mlk8s/agent.sock"
PATIENCE = 20.0
"""Seconds to wait for the agent; then the pod's start fails and kubelet tries again."""


def _fail(message: str) -> int:
    json.dump({"cniVersion": "0.4.0", "code": 11, "msg": message}, sys.stdout)  # 11: try again later
    return 1


def main() -> int:
    command = os.environ.get("CNI_COMMAND", "")
    if command == "VERSION":
        json.dump({"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}, sys.stdout)
        return 0
    if command != "ADD":  # what is left of a pod that is gone is removed by the agent
        return 0
    config = json.load(sys.stdin)
    arguments = dict(item.partition("=")[::2] for item in os.environ.get("CNI_ARGS", "").split(";"))
    uid, result = arguments.get("K8S_POD_UID", ""), config.get("prevResult", {})
    addresses = [item["address"].partition("/")[0] for item in result.get("ips", [])]
    if not uid or not addresses:
        return _fail("no pod uid or no address from the plugin before this one")
    os.makedirs(CLAIMS, exist_ok=True)
    temporary = os.path.join(CLAIMS, f".{uid}")
    with open(temporary, "w") as file:
        file.write(addresses[0])
    os.replace(temporary, os.path.join(CLAIMS, uid))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(PATIENCE)
            agent.connect(SOCKET)
            agent.sendall(uid.encode() + b"\n")
            answer = agent.recv(16)
    except OSError as error:
        return _fail(f"the node agent does not answer ({error}); see its log")
    if answer != b"ok\n":
        return _fail("the node agent has no policy for this pod yet")
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
