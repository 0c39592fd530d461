"""Parts: the table is sound, and `ensure` takes the first way that works, whatever happens in between."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from golang import needs_go, tiny_module
from releases import Releases, serving, tar_gz

from mlk8s.errors import UsageError
from mlk8s.local import parts
from mlk8s.local.cache import cache_dir
from mlk8s.local.gotool import MODULES, parse_version
from mlk8s.local.pins import (
    CORE,
    GO_BELOW,
    GO_MINIMUM,
    GO_WHEEL,
    LATER,
    OPTIONAL,
    PARTS,
    PLATFORM,
    Archive,
    GoBuild,
    Part,
)
from mlk8s.local.progress import SILENT
from mlk8s.local.progress_plain import PlainProgress

CONTENT = tar_gz({"bin/tool": random.Random(1).randbytes(300_000)})  # the same in a child process
PATH = "/releases.example/tool.tgz"
TOOL = Part(
    "1.2",
    {"tool": "tool"},
    archive=Archive(
        "https://releases.example/tool.tgz",
        {"tool": "bin/tool"},
        dict.fromkeys(("amd64", "arm64"), f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"),
    ),
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """A release host with one part, and an empty cache."""
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "PARTS", {"tool": TOOL})
    with serving() as releases:
        monkeypatch.setenv("MLK8S_DOWNLOADS", releases.address)
        releases.files[PATH] = CONTENT
        yield releases


def test_groups_name_every_part_once() -> None:
    optional = [part for parts in OPTIONAL.values() for part in parts]
    tools = ["helm", "jobset", "prometheus-operator"]  # for checks of what is rendered, in no cluster
    assert sorted((*CORE, *PLATFORM, *LATER, *optional, *tools)) == sorted(PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_each_part_has_a_way_that_is_pinned(name: str) -> None:
    part = PARTS[name]
    assert part.wheel or part.build or part.files, "a refused download would be the end"
    if part.wheel:
        assert part.wheel.package.endswith(f"=={part.version}")
        assert sorted(part.wheel.hashes) == ["amd64", "arm64"]
        assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in part.wheel.hashes.values())
    if part.archive:
        assert part.version in part.archive.url
        assert set(part.archive.members) == set(part.programs)
        assert bool(part.archive.checksums) != bool(part.archive.published)
        for checksum in part.archive.checksums.values():
            assert re.fullmatch("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", checksum)
    for module in (part.build, part.files):
        if module:
            assert (MODULES / module.module / "go.sum").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "module", "version"),
    [
        ("kubernetes", "k8s.io/kubernetes", "v1.35.4"),
        ("coredns", "github.com/coredns/coredns", "v1.14.6"),
        ("etcd", "go.etcd.io/etcd/server/v3", "v3.6.13"),
        ("prometheus", "github.com/prometheus/prometheus", "v0.316.0"),
        ("prometheus-adapter", "sigs.k8s.io/prometheus-adapter", "v0.12.0"),
        ("gateway-api", "sigs.k8s.io/gateway-api", "v1.6.3"),
        ("jobset", "sigs.k8s.io/jobset", "v0.10.1"),
        ("keda", "github.com/kedacore/keda/v2", "v2.21.0"),
        ("keda-crds", "github.com/kedacore/keda/v2", "v2.21.0"),
        ("vpa", "k8s.io/autoscaler/vertical-pod-autoscaler", "v1.8.1"),
        ("vpa-crds", "k8s.io/autoscaler/vertical-pod-autoscaler", "v1.8.1"),
        ("prometheus-operator", "github.com/prometheus-operator/prometheus-operator", "v0.85.0"),
    ],
)
def test_built_and_downloaded_versions_are_the_same(name: str, module: str, version: str) -> None:
    part = PARTS[name]
    source = part.build or part.files
    assert source
    assert re.search(rf"{module} {version}( |\n)", (MODULES / source.module / "go.mod").read_text())
    # Prometheus numbers its Go module 0.XYZ for release X.Y.Z.
    assert part.version in (version.removeprefix("v"), "3.16.0")


def test_programs_built_together_keep_their_packages_names() -> None:
    for part in PARTS.values():
        if part.build and len(part.build.packages) > 1:
            assert all(path.rsplit("/", 1)[-1] == name for name, path in part.build.packages.items())


def test_the_go_wheel_is_new_enough() -> None:
    assert GO_MINIMUM <= parse_version("go" + GO_WHEEL.package.partition("==")[2]) < GO_BELOW


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(UsageError, match="no part cilium") as raised:
        parts.ensure(["cilium"], progress=SILENT)
    assert "kubernetes" in (raised.value.expected or "")


def test_a_download_is_kept_and_not_asked_for_again(host: Releases) -> None:
    assert parts.missing(["tool"]) == ["tool"]
    paths = parts.ensure(["tool"], progress=SILENT)
    assert parts.ensure(["tool"], progress=SILENT) == paths
    assert parts.missing(["tool"]) == []
    assert len(host.asked) == 1
    assert os.access(paths["tool"], os.X_OK)
    origin = (paths["tool"].parent / "origin.txt").read_text()
    assert origin.startswith("https://releases.example/tool.tgz, in ")


def test_two_at_once_share_the_work(host: Releases, capsys: pytest.CaptureFixture[str]) -> None:
    host.cut, host.hang = 1000, True
    progress = PlainProgress(sys.stdout)
    found: list[dict[str, Path]] = []
    threads = [
        threading.Thread(target=lambda: found.append(parts.ensure(["tool"], progress=progress))) for _ in "ab"
    ]
    threads[0].start()
    assert host.delivered.wait(5)
    threads[1].start()
    for _ in range(100):
        if "waiting" in capsys.readouterr().out:
            break
        threads[1].join(0.05)
    else:
        pytest.fail("the second did not say that it waits")
    # Let the first go on: its connection ends early, and it must not be asked for from the start again.
    host.cut, host.hang = None, False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)  # the first has no other way to the part
        host.ended.set()
        for thread in threads:
            thread.join(20)
    assert len(found) == 1
    assert [wanted for _, wanted in host.asked] == [None, "bytes=1000-"]


def test_a_kill_9_leaves_nothing_that_is_believed(host: Releases) -> None:
    host.cut, host.hang = 100_000, True
    code = (
        "from test_parts import TOOL, parts, SILENT\n"
        "parts.PARTS = {'tool': TOOL}\n"
        "parts.ensure(['tool'], progress=SILENT)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        assert host.delivered.wait(20)
        partial = cache_dir() / "downloads"
        while not sum(file.stat().st_size for file in partial.glob("*")):
            assert child.poll() is None
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert parts.missing(["tool"]) == ["tool"]
    host.cut, host.hang = None, False
    paths = parts.ensure(["tool"], progress=SILENT)
    assert paths["tool"].stat().st_size == 300_000
    assert host.asked[-1][1] is not None, "the download began again instead of going on"
    assert sorted(path.name for path in paths["tool"].parents[1].iterdir()) == ["1.2"]


@needs_go
@pytest.mark.parametrize("trouble", ["missing", "wrong", "off", "not allowed"])
def test_what_is_not_downloaded_is_built(
    trouble: str,
    host: Releases,
    go_cache: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = tiny_module(tmp_path / "tiny")
    build = GoBuild(str(module), {"tool": "."})
    monkeypatch.setattr(
        parts, "PARTS", {"tool": Part("1.2", TOOL.programs, archive=TOOL.archive, build=build)}
    )
    if trouble == "missing":
        host.files.clear()
    if trouble == "wrong":
        host.files[PATH] = b"something else"
    if trouble == "off":
        monkeypatch.setenv("MLK8S_DOWNLOADS", "off")
    paths = parts.ensure(
        ["tool"], progress=PlainProgress(sys.stdout), allow_download=trouble != "not allowed"
    )
    assert subprocess.run([paths["tool"]], capture_output=True, text=True, check=True).stdout == "tiny\n"
    assert "built from the Go module" in (paths["tool"].parent / "origin.txt").read_text()
    reasons = {"missing": "404", "wrong": "wrong checksum", "off": "switched off", "not allowed": ""}
    assert reasons[trouble] in capsys.readouterr().out
