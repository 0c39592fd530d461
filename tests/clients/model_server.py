"""The real model server as a process of this machine, on a free port of 127.0.0.1."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import urllib3

TENSOR = {"datatype": "FP32", "shape": [-1, 4]}


class ModelServer:
    """A server that answers under /shop/NAME.

    Args:
        directory: where model and manifest are put; empty.
        model: ONNX bytes.
    """

    def __init__(self, directory: Path, model: bytes, *, name: str = "scale", version: str = "1") -> None:
        self.name, self.version = name, version
        (directory / "model.onnx").write_bytes(model)
        file = {"path": "model.onnx", "sha256": hashlib.sha256(model).hexdigest(), "size": len(model)}
        manifest = {
            "name": name, "version": version, "format": "onnx", "created": "2026-01-01T00:00:00Z",
            "run": "r1", "files": [file],
        }  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest))
        self._directory = directory
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/shop/{name}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ModelServer:
        """Start it and wait until it is ready."""
        env = {
            **os.environ, "MODEL_DIR": str(self._directory), "MODEL_NAME": self.name,
            "BASE_PATH": f"/shop/{self.name}", "PORT": str(self.port), "HOST": "127.0.0.1",
            "DRAIN_SECONDS": "0",
        }  # fmt: skip
        log = (self._directory / "server.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlk8s.server"], env=env, stdout=log, stderr=log
        )
        log.close()
        end = time.monotonic() + 30
        with urllib3.PoolManager(retries=False) as pool:
            while time.monotonic() < end:
                assert self._process.poll() is None, (self._directory / "server.log").read_text()
                try:
                    if pool.request("GET", f"{self.url}/v2/health/ready").status == 200:
                        return self
                except urllib3.exceptions.HTTPError:
                    pass
                time.sleep(0.05)
        raise AssertionError("the model server was not ready within 30 s")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
