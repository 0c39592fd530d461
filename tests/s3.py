"""A real SeaweedFS on loopback for tests: the same program that serves S3 in the cluster."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mlk8s.local import parts
from mlk8s.local.progress import SILENT
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.store import Store


@dataclass(frozen=True)
class S3:
    """Where it answers, and with which keys."""

    config: StorageConfig
    credentials_dir: Path

    @property
    def env(self) -> dict[str, str]:
        """What a pod has in its environment."""
        return {
            "STORAGE_ENDPOINT": str(self.config.endpoint),
            "STORAGE_CREDENTIALS_DIR": str(self.credentials_dir),
        }

    def bucket(self) -> str:
        """A name that no other test uses; SeaweedFS makes a bucket with its first object."""
        return f"t-{secrets.token_hex(6)}"


class SeaweedFS:
    """One process in a directory of its own, all of its ports on 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        key, secret = "test-key", secrets.token_hex(16)
        self.port = 0
        self._identities = {
            "identities": [
                {
                    "name": "tests",
                    "credentials": [{"accessKey": key, "secretKey": secret}],
                    "actions": ["Admin"],
                }
            ]
        }
        self._key, self._secret = key, secret
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> S3:
        """Start it and wait until it takes and gives back an object."""
        # The local cluster's own part: same version, same checksum, same place.
        binary = parts.ensure(["seaweedfs"], progress=SILENT)["seaweedfs"]
        data, credentials = self.directory / "data", self.directory / "credentials"
        for path in (data, credentials):
            path.mkdir(parents=True, exist_ok=True)
        (self.directory / "s3.json").write_text(json.dumps(self._identities))
        (credentials / "access-key-id").write_text(self._key)
        (credentials / "secret-access-key").write_text(self._secret)
        ports = _free_ports(8)
        self.port = ports[0]
        names = (
            "s3.port",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
        )
        names += ("filer.port", "filer.port.grpc")
        flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
        flags += [f"-{part}.localSocket={self.directory / part}.sock" for part in ("filer", "s3")]
        with (self.directory / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "-logtostderr=true", "server", "-s3", f"-dir={data}",
                 "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                 f"-s3.config={self.directory / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                 "-volume.max=300", "-master.volumeSizeLimitMB=64", *flags],
                stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
            )  # fmt: skip
        config = StorageConfig(f"http://127.0.0.1:{self.port}", self._key, self._secret)
        self._wait(config)
        return S3(config, credentials)

    def stop(self) -> None:
        """End it; what it stored goes with the test's directory."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _wait(self, config: StorageConfig) -> None:
        assert self._process
        deadline, problem = time.monotonic() + 60, None
        store = Store("s3://ready", config)
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                store.put("probe", b"1")
                assert store.get("probe") == b"1"
                return
            except Exception as error:
                problem = error
                time.sleep(0.2)
        log = (self.directory / "weed.log").read_text(errors="replace")[-2000:]
        raise AssertionError(f"SeaweedFS did not start: {problem}\n{log}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
