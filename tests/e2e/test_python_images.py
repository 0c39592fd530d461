"""The images of model servers and pipelines: made twice from nothing they are the same, and they run."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pyarrow
import pytest

from mlk8s.local import images
from mlk8s.local.images import Image

IMPORTS = {
    "server": "mlk8s.server.app, onnxruntime, obstore, uvloop, httptools, orjson, prometheus_client, ssl",
    "pipeline": "mlk8s.pipeline, sklearn.datasets, pyarrow.parquet, obstore, scipy.stats, numpy, ssl",
}


def unpack(image: Image, folder: Path) -> Path:
    """The image's file system, readable by its user."""
    folder.chmod(0o755)
    with tarfile.open(image.archive) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        for path in json.load(manifest)[0]["Layers"]:
            layer = archive.extractfile(path)
            assert layer
            with tarfile.open(fileobj=pyarrow.input_stream(layer, compression="zstd"), mode="r|") as tar:
                tar.extractall(folder, filter="fully_trusted")
    return folder


@pytest.fixture(scope="module", params=images.PYTHON_IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(images.build(name), tmp_path_factory.mktemp(name))


def python(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the image's user, with its environment, in its file system."""
    return subprocess.run(
        ["/usr/sbin/chroot", "--userspec=10001:10001", root, "/usr/bin/python3", "-c", code],
        env={"PATH": "/usr/bin", "PYTHONPATH": "/app", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_input_gives_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not compared with the machine's cache, whose base may be of older Debian packages.
    made = []
    for cache in ("first", "second"):
        monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / cache))
        made.append(images.build("server"))
    first, second = made
    assert (second.id, second.reference) == (first.id, first.reference)
    assert second.archive.read_bytes() == first.archive.read_bytes()


def test_everything_can_be_imported(name: str, root: Path) -> None:
    result = python(root, f"import {IMPORTS[name]}")
    assert result.returncode == 0, result.stderr
    assert not list((root / "tmp").iterdir()), "ONNX Runtime's telemetry leaves an identifier there"


def test_nothing_is_compiled_at_the_start(name: str, root: Path) -> None:
    """Every module that a start imports has its bytecode in the image."""
    code = (
        f"import sys, {IMPORTS[name]}\n"
        "for module in list(sys.modules.values()):\n"
        "    path = getattr(getattr(module, '__spec__', None), 'cached', None)\n"
        "    import os\n"
        "    if path and path.startswith(('/usr', '/app')) and not os.path.exists(path): print(path)\n"
    )
    result = python(root, code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


def test_no_file_of_this_machine_is_in_it(root: Path) -> None:
    for path in ("etc/hostname", "etc/resolv.conf", "etc/apt", "var/log"):
        assert not (root / path).exists(), path
    owners = {path.lstat().st_uid for path in root.rglob("*")}
    assert owners == {0}


def test_an_image_from_the_cache_costs_nothing(name: str) -> None:
    images.build(name)
    took = []
    for _ in range(3):  # the quickest of some: what a busy machine adds is no work of the build
        begun = time.monotonic()
        images.build(name)
        took.append(time.monotonic() - begun)
    assert min(took) < 1, took


def test_the_pause_image_holds_a_pod(tmp_path: Path) -> None:
    root = unpack(images.build("pause"), tmp_path)
    process = subprocess.Popen(["/usr/sbin/chroot", root, "/pause", "-P"])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
    finally:
        process.terminate()
    assert process.wait(60) is not None
    assert os.access(root / "pause", os.X_OK)
