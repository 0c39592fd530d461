"""The Python images' lowest layer: a small Debian 12 with CPython 3.11, made by mmdebstrap.

The packages are only unpacked: no script of theirs runs, so the few files that scripts would make are written
here. Everything that differs from machine to machine (host name, resolver, logs) is left out.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError
from mlk8s.local.cache import cache_dir, locked, made_whole, remove, text_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "libc6", "libpython3-stdlib", "libstdc++6", "python3-minimal", "zlib1g")
PYTHON = "usr/bin/python3.11"
USER = 10001
"""The numeric user and group that the Python images run as."""

_RECIPE = "3"  # raised when what is done to the unpacked packages changes
# dpkg never runs, so its own list stays empty: what was unpacked is written down here, a line a package.
PACKAGE_LIST = "usr/share/mlk8s/packages"
_WRITE_LIST = (
    f'mkdir -p "$1"/{Path(PACKAGE_LIST).parent}; for deb in "$1"/var/cache/apt/archives/*.deb; do '
    "dpkg-deb -W --showformat '${Package} ${Version} ${Architecture}\\n' \"$deb\"; "
    f'done | LC_ALL=C sort > "$1"/{PACKAGE_LIST}'
)
_LEFT_OUT = (
    "dev",
    "etc/apt",
    "etc/cron.daily",
    "etc/hostname",
    "etc/logrotate.d",
    "etc/resolv.conf",
    "usr/lib/python3.11/ensurepip",
    "usr/lib/python3.11/idlelib",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/test",
    "usr/share/doc",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "var/cache",
    "var/lib/apt",
    "var/log",
)
_PASSWD = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\n"
    f"mlk8s:x:{USER}:{USER}:mlk8s:/tmp:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
_GROUP = f"root:x:0:\nmlk8s:x:{USER}:\nnogroup:x:65534:\n"


def base_root() -> Path:
    """The folder with the base's file system, from the cache or made now (about 6 s, 60 MB).

    Raises:
        LocalClusterError: mmdebstrap is not there or fails.
    """
    mirror = os.environ.get("MLK8S_DEBIAN_MIRROR", "")
    key = text_digest(_RECIPE, SUITE, mirror, platform.machine(), *PACKAGES)[:16]
    target = cache_dir() / "images" / f"base-{key}"
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            with made_whole(target) as root:
                _unpack_packages(root, mirror)
                _finish(root)
    return target


def _unpack_packages(root: Path, mirror: str) -> None:
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--include={','.join(PACKAGES)}",
        f"--extract-hook={_WRITE_LIST}",
        SUITE,
        str(root),
    ]
    if mirror:
        command.append(mirror)
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LocalClusterError(
            "mmdebstrap, which makes the base of the Python images, is not installed.",
            next_step="apt-get install --no-install-recommends mmdebstrap",
        ) from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        raise LocalClusterError(
            f"mmdebstrap failed: {lines[-1] if lines else result.stderr.strip()[-300:]}",
            where=" ".join(command),
            expected="a reachable Debian mirror with the suite bookworm",
            next_step="Name one with MLK8S_DEBIAN_MIRROR=URL, or see that apt-get update works",
        )


def _finish(root: Path) -> None:
    for path in _LEFT_OUT:
        remove(root / path)
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    # glibc's default asks DNS before /etc/hosts, which Kubernetes fills.
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (root / "tmp").chmod(0o1777)
    compile_python(root, root, [root / "usr/lib/python3.11", root / "usr/lib/python3"])


def compile_python(root: Path, strip: Path, folders: Iterable[Path]) -> None:
    """Byte-compile folders with the base's own Python, below `root`, which need not be this machine's.

    A pod's root is read-only, so what is not compiled here is compiled again at each start (0.6 s for the
    model server). `unchecked-hash` needs no file times; a fixed hash seed keeps sets in one order.

    Args:
        root: the base's file system.
        strip: start of the paths that does not exist in the container.
        folders: what to compile, below `strip`.
    """
    # The base's own loader and libraries, so that neither chroot nor this machine's glibc is needed.
    loader = next(iter(root.glob("lib/*-linux-gnu/ld-linux-*.so.*")))
    libraries = f"{loader.parent}:{root / 'usr/lib' / loader.parent.name}"
    command = [str(loader), "--library-path", libraries, str(root / PYTHON), "-P", "-S", "-m", "compileall"]
    command += ["-q", "--invalidation-mode=unchecked-hash", "-s", str(strip), "-p", "/"]
    result = subprocess.run(
        [*command, *map(str, folders)],
        # What compileall itself imports must not leave bytecode with a file time in it.
        env={"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # 1: some file is not for this Python (wheels ship templates and Python 2 samples); it stays as it is.
    if result.returncode not in (0, 1):
        raise LocalClusterError(
            f"Byte-compiling failed: {result.stderr.strip()[-300:]}", where=" ".join(command)
        )
