"""A release host on 127.0.0.1 that behaves well or badly, as a test wants."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


def tar_gz(files: dict[str, bytes]) -> bytes:
    """A tar.gz archive with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class Releases:
    """What the host has, how it behaves, and what it was asked.

    Args:
        files: content by path.
        cut: send only so many bytes of an answer, then close the connection.
        hang: send `cut` bytes, then wait until the test ends.
        ranges: whether it honours Range.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    hang: bool = False
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    delivered: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


def _handler(host: Releases) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            host.asked.append((self.path, wanted))
            content = host.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and host.ranges else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : host.cut])
            self.wfile.flush()
            host.delivered.set()
            if host.hang:
                host.ended.wait(30)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving() -> Iterator[Releases]:
    """A host that serves until the block ends."""
    host = Releases()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(host))
    host.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield host
    finally:
        host.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
