"""Small pods that can be asked what they reach; they need Python's standard library only."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from mlk8s.local import baseimage, layers
from mlk8s.local.cache import architecture
from mlk8s.local.handle import Local

IMAGE = "localhost/mlk8s/test-python:1"

# Listens on TCP 8080, 8081 and 9000 and echoes on UDP 5353; on 8000 it answers what it can reach itself.
# The very first thing it does is to try FIRST, so that the moment before any policy could come later is seen:
# at its first packet, so a connection that needed a second one is none.
SCRIPT = r"""
import http.server, json, os, socket, struct, threading, urllib.parse
def tcp(to, timeout=0.7):
    host, port = to.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout).close()
        return "open"
    except OSError as error:
        return type(error).__name__ + ": " + str(error)
def udp(to, timeout=0.7):
    host, port = to.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.sendto(b"x", (host, int(port)))
            return "open" if s.recv(1) == b"x" else "?"
        except OSError as error:
            return type(error).__name__ + ": " + str(error)
def first_packet(to):
    host, port = to.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 2) as s:
            info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        (again,) = struct.unpack_from("I", info, 100)  # tcpi_total_retrans
        return "the first packet was lost" if again else "open"
    except OSError as error:
        return type(error).__name__ + ": " + str(error)
first = first_packet(os.environ["FIRST"]) if os.environ.get("FIRST") else ""
class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        answer = {"/tcp": lambda: tcp(query["to"]), "/udp": lambda: udp(query["to"]),
                  "/first": lambda: first}.get(url.path, lambda: "here")()
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(answer).encode())
def echo():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5353))
    while True:
        data, peer = s.recvfrom(64); s.sendto(data, peer)
threading.Thread(target=echo, daemon=True).start()
for port in (8080, 8081, 9000):
    server = http.server.ThreadingHTTPServer(("", port), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8000), Quiet).serve_forever()
"""


def python_image(local: Local) -> str:
    """Put a bare Python image into a cluster, once."""
    if IMAGE not in local.images():
        with tempfile.TemporaryDirectory() as folder:
            root = baseimage.base_root()
            layer = layers.write_layer(Path(folder, "layer.tar"), layers.folder_entries(root))
            config = layers.image_config(
                [layer], layers.Config(["python3"], user="10001:10001"), architecture()
            )
            layers.write_archive(Path(folder, "image.tar"), IMAGE, [layer], config)
            local.load_image(Path(folder, "image.tar"))
    return IMAGE


def pod(
    name: str, *, script: str = SCRIPT, labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod manifest that passes the restricted Pod Security Standard; `spec` is merged over it."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "-c", script],
        "env": spec.pop("env", []),
        "volumeMounts": spec.pop("mounts", []),
        "ports": [
            {"name": "web", "containerPort": 8080},
            {"name": "echo", "containerPort": 5353, "protocol": "UDP"},
        ],
        "resources": spec.pop("resources", {"requests": {"cpu": "5m", "memory": "16Mi"}}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            **spec,
        },
    }


def create_pod(local: Local, namespace: str, manifest: dict[str, Any], timeout: float = 120) -> str:
    """Create a pod, wait until it runs, and return its address."""
    api = local.api()
    api.request("POST", f"/api/v1/namespaces/{namespace}/pods", manifest)
    return wait_for_pod(local, namespace, manifest["metadata"]["name"], timeout)


def wait_for_pod(local: Local, namespace: str, name: str, timeout: float = 120) -> str:
    """Wait until a pod's container runs (or has ended well), and return its address."""
    api, deadline = local.api(), time.monotonic() + timeout
    while True:
        found = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        status = found["status"]
        if status.get("phase") in ("Running", "Succeeded") and status.get("podIP"):
            return str(status["podIP"])
        assert time.monotonic() < deadline, json.dumps(status, indent=1)
        time.sleep(0.1)


def ask(address: str, path: str, timeout: float = 30) -> str:
    """What a pod of `SCRIPT` answers on its port 8000, asked from the machine."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}:8000{path}", timeout=timeout) as response:
                return str(json.loads(response.read()))
        except ConnectionError:
            assert time.monotonic() < deadline, f"{address} does not answer"
        except OSError as error:  # the interpreter may still be starting
            assert "refused" in str(error) and time.monotonic() < deadline, error
        time.sleep(0.1)
