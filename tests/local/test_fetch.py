"""Downloads against a real host on 127.0.0.1: good, wrong, cut short, missing, refused."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from releases import Releases, serving, tar_gz

from mlk8s.local import fetch
from mlk8s.local.cache import cache_dir
from mlk8s.local.pins import Archive
from mlk8s.local.progress import SILENT

CONTENT = tar_gz({"tool-1/bin/tool": b"#!/bin/sh\necho tool\n" * 5000, "tool-1/LICENSE": b"free"})
PATH = "/releases.example/tool-amd64.tgz"
SHA = hashlib.sha256(CONTENT).hexdigest()
PINNED = Archive(
    "https://releases.example/tool-{arch}.tgz", {"tool": "tool-1/bin/tool"}, {"amd64": f"sha256:{SHA}"}
)
PUBLISHED = Archive(
    "https://releases.example/tool-{arch}.tgz",
    {"tool": "tool-1/bin/tool"},
    published="https://releases.example/sums.txt",
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "cache"))
    with serving() as releases:
        monkeypatch.setenv("MLK8S_DOWNLOADS", releases.address)
        releases.files[PATH] = CONTENT
        yield releases


def get(archive: Archive = PINNED) -> Path:
    with SILENT.step("Download") as step:
        return fetch.fetch(archive, "amd64", step)


def test_a_good_file_is_fetched_and_unpacked(host: Releases, tmp_path: Path) -> None:
    fetch.extract(get(), PINNED.members, "amd64", tmp_path)
    assert (tmp_path / "tool").read_bytes().startswith(b"#!/bin/sh")
    assert (tmp_path / "tool").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "LICENSE").exists()


def test_a_wrong_checksum_is_refused_and_not_kept(host: Releases) -> None:
    host.files[PATH] = tar_gz({"tool-1/bin/tool": b"something else"})
    with pytest.raises(fetch.Unavailable, match="wrong checksum"):
        get()
    assert list((cache_dir() / "downloads").iterdir()) == []


def test_a_cut_answer_is_told_and_gone_on_with(host: Releases) -> None:
    host.cut = 100
    with pytest.raises(fetch.Unavailable, match="bytes early"):
        get()
    host.cut = None
    assert get().read_bytes() == CONTENT
    assert host.asked[-1] == (PATH, "bytes=100-")


def test_a_host_that_cannot_resume_is_read_from_the_start(host: Releases) -> None:
    host.cut, host.ranges = 100, False
    with pytest.raises(fetch.Unavailable):
        get()
    host.cut = None
    assert get().read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_read_from_the_start(host: Releases) -> None:
    host.files[PATH] = b"x" * 200
    host.cut = 100
    with pytest.raises(fetch.Unavailable):
        get()
    host.files[PATH], host.cut = CONTENT, None
    assert get().read_bytes() == CONTENT


def test_a_whole_file_that_was_not_unpacked_is_used(host: Releases) -> None:
    get()
    assert get().read_bytes() == CONTENT
    assert len(host.asked) == 2
    assert host.asked[1][1] == f"bytes={len(CONTENT)}-"


def test_a_published_checksum_is_asked_for(host: Releases) -> None:
    host.files["/releases.example/sums.txt"] = f"{'0' * 64}  other.tgz\n{SHA}  tool-amd64.tgz\n".encode()
    assert get(PUBLISHED).read_bytes() == CONTENT


def test_without_any_checksum_nothing_is_fetched(host: Releases) -> None:
    host.files["/releases.example/sums.txt"] = f"{'0' * 64}  other.tgz\n".encode()
    with pytest.raises(fetch.Unavailable, match="no checksum"):
        get(PUBLISHED)
    assert [path for path, _ in host.asked] == ["/releases.example/sums.txt"]


def test_a_missing_file_says_404(host: Releases) -> None:
    host.files.clear()
    with pytest.raises(fetch.Unavailable, match="404"):
        get()


def test_a_missing_member_is_told(host: Releases, tmp_path: Path) -> None:
    with pytest.raises(fetch.Unavailable, match="has no tool-1/bin/nothing"):
        fetch.extract(get(), {"nothing": "tool-1/bin/nothing"}, "amd64", tmp_path)


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>please sign in</html>")
    with pytest.raises(fetch.Unavailable, match="cannot be read"):
        fetch.extract(tmp_path / "page.html", PINNED.members, "amd64", tmp_path)


def test_a_refusing_host_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLK8S_CACHE", str(tmp_path))
        monkeypatch.setenv("MLK8S_DOWNLOADS", f"http://127.0.0.1:{taken.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(fetch.Unavailable, match="cannot be reached"):
            get()
        assert time.monotonic() - begun < fetch.CONNECT_SECONDS + 1
        taken.listen()  # it would answer now, but this process has given it up
        with pytest.raises(fetch.Unavailable, match="cannot be reached"):
            get()


def test_downloads_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLK8S_DOWNLOADS", "off")
    with pytest.raises(fetch.Unavailable, match="MLK8S_DOWNLOADS"):
        get()


@pytest.mark.parametrize(
    ("text", "checksum"),
    [
        (SHA, f"sha256:{SHA}"),
        (f"{SHA.upper()} *./dir/a.tgz\n", f"sha256:{SHA}"),
        (f"{SHA}  b.tgz\n", None),
        ("<html>", None),
        ("", None),
    ],
)
def test_published_checksums(text: str, checksum: str | None) -> None:
    assert fetch.published_checksum(text, "a.tgz") == checksum
