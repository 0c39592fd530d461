"""/healthz for kubelet and /metrics for Prometheus."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mlk8s.collector.ship import Counters

STALE = 120.0
"""Seconds without a round that ended well, after which the collector is not healthy."""


def serve(port: int, counters: Counters) -> ThreadingHTTPServer:
    """Answer on a port, in a thread of its own; `counters` are read at every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, _metrics(counters), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/healthz":
                fresh = counters.rounded and time.monotonic() - counters.rounded < STALE
                self._answer(200 if fresh else 503, "ok\n" if fresh else "no round yet\n", "text/plain")
            else:
                self._answer(404, "not found\n", "text/plain")

        def _answer(self, status: int, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass  # its own lines would be shipped, too

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _metrics(counters: Counters) -> str:
    values = {
        "lines_total": ("counter", counters.lines),
        "bytes_total": ("counter", counters.bytes),
        "objects_total": ("counter", counters.objects),
        "errors_total": ("counter", counters.errors),
        "files": ("gauge", counters.files),
    }
    return "".join(
        f"# TYPE log_collector_{name} {kind}\nlog_collector_{name} {value}\n"
        for name, (kind, value) in values.items()
    )
