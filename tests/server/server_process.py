"""A real model server process on a free loopback port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import urllib3

from mlk8s.storage.artifacts import download
from mlk8s.storage.models import upload_model


def place_model(directory: Path, model: bytes, version: str = "1") -> Path:
    """A model as the init container leaves it."""
    ref = upload_model(model, str(directory / "store" / "iris" / version), data_version="d1")
    download(ref.url, directory / "models")
    return directory / "models"


class Server:
    """One process of `python -m mlk8s.server`, its log, and a client of it."""

    def __init__(self, models: Path, **env: str) -> None:
        self.log: list[dict[str, Any]] = []
        settings = {"MODEL_DIR": str(models), "MODEL_NAME": "iris", "HOST": "127.0.0.1", "PORT": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlk8s.server"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings, "BASE_PATH": "/team/iris", "DRAIN_SECONDS": "0.5", **env},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"http://127.0.0.1:{self.event('listening')['port']}"
        self.http = urllib3.PoolManager(
            maxsize=100, retries=False, timeout=urllib3.Timeout(connect=5, read=30)
        )

    def ready(self) -> Server:
        """Wait for the model."""
        self.event("ready")
        return self

    def event(self, name: str, timeout: float = 30) -> dict[str, Any]:
        """The first log line of an event, waited for."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for line in list(self.log):
                if line.get("event") == name:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no event {name!r} in {self.log}")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        answer = self.http.request("GET", self.url + path)
        return answer.status, json.loads(answer.data)

    def infer(self, body: bytes | dict[str, Any], path: str = "/v2/models/iris/infer") -> tuple[int, Any]:
        """Status and JSON of an infer request."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.request("POST", self.url + path, body=content)
        return answer.status, json.loads(answer.data)

    def metric(self, name: str) -> float:
        """Sum over a metric's samples whose line starts with `name`."""
        text = self.http.request("GET", f"{self.url}/metrics").data.decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def close(self) -> None:
        """Whatever happened, nothing stays."""
        self.http.clear()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "text", "text": line})


def tensor(data: Any, shape: list[int], **change: Any) -> dict[str, Any]:
    """An infer request of one input `x`."""
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data, **change}]}
