"""The agent's list and watch against a real TLS server: chunks, the end of a watch, a version too old."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlk8s.local import pki
from mlk8s.local.agent.api import Api, ApiError, Mirror
from mlk8s.local.agent.volumes import volume
from mlk8s.local.node import identities
from mlk8s.local.registry import Cluster


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}


class Server(ThreadingHTTPServer):
    """Answers each list with the next of `lists`, and each watch with the next of `watches`."""

    daemon_threads = True

    def __init__(self, pki_directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lists: list[list[dict[str, Any]]] = []
        self.watches: list[list[dict[str, Any]]] = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki_directory / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pki_directory / "apiserver.crt", pki_directory / "apiserver.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The mirror of a finished test may still be reading."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if "watch=1" not in self.path:
            self._whole(200, {"metadata": {"resourceVersion": "5"}, "items": self.server.lists.pop(0)})
            return
        if not self.server.watches:
            threading.Event().wait(30)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = b"".join(json.dumps(event).encode() + b"\n" for event in self.server.watches.pop(0))
        for begin in range(0, len(data), 37):  # chunks that end in the middle of a line
            part = data[begin : begin + 37]
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        self._whole(403, {"kind": "Status", "message": "pods is forbidden"})

    def _whole(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure(directory, identities(Cluster(name="test")))
    return directory


@pytest.fixture
def server(certificates: Path) -> Iterator[Server]:
    server = Server(certificates)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.socket.close()


@pytest.fixture
def api(server: Server, certificates: Path) -> Api:
    return Api(f"https://127.0.0.1:{server.server_address[1]}", certificates, "agent")


def test_a_mirror_follows_events_and_lists_again_after_410(server: Server, api: Api) -> None:
    server.lists = [[item("a", 1)], [item("c", 5)]]
    server.watches = [
        [
            {"type": "ADDED", "object": item("b", 6)},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}},
            {"type": "DELETED", "object": item("a", 8)},
        ],
        [{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}],
        [{"type": "ADDED", "object": item("d", 9)}],
    ]
    seen: list[str] = []
    complete = threading.Event()

    def changed() -> None:
        seen.append("".join(sorted(mirror.objects)))
        if seen[-1] == "cd":
            complete.set()

    mirror = Mirror(api, "/items", lambda found: found, changed)
    mirror.start()
    assert complete.wait(10), seen
    assert seen == ["a", "ab", "b", "c", "cd"]


def test_a_refusal_has_the_servers_words(api: Api) -> None:
    with pytest.raises(ApiError, match="403 pods is forbidden"):
        api.request("POST", "/items", {})


def test_no_answer_is_status_zero(certificates: Path) -> None:
    with pytest.raises(ApiError) as caught:
        Api("https://127.0.0.1:9", certificates, "agent").get("/")
    assert caught.value.status == 0


def test_a_volume_is_bound_to_its_claim_and_node() -> None:
    claim = {
        "metadata": {"uid": "u1", "name": "data", "namespace": "one"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}},
    }
    made = volume(claim, {"metadata": {"name": "c"}, "reclaimPolicy": "Retain"}, "n1", Path("/volumes"))
    spec = made["spec"]
    assert spec["local"]["path"] == "/volumes/pvc-u1"
    assert spec["capacity"] == {"storage": "3Gi"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert (spec["claimRef"]["namespace"], spec["claimRef"]["uid"]) == ("one", "u1")
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["n1"]
