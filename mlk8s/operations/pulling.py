"""Results of workers in pods, pulled as they come: from lines of their logs to files of a run directory."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.locust import LOG
from mlk8s.clients.streams import LogStream
from mlk8s.errors import ClusterError
from mlk8s.loadgen.appending import Appender

_EXIT = re.compile(r'\{"exit":(\d+)\}')
_FILE = re.compile(r"(requests|samples)-[A-Za-z0-9_.-]+\.jsonl")
_HEAD, _BETWEEN = '{"file":"', '","line":'
_AGAIN = 0.3
"""Seconds until a log that could not be read on is asked for again."""


class Puller:
    """Follows the logs of pods, one thread each, until they have ended.

    A log is kept by its node, so what was not read while the API server was away, or while this disk was
    full, comes later; only with its pod it is lost.

    Args:
        container: of each pod, whose log it is.
        directory: gets the files.
    """

    def __init__(self, cluster: Cluster, namespace: str, container: str, directory: Path) -> None:
        self._cluster, self._namespace, self._container = cluster, namespace, container
        self._directory = directory
        self._threads: dict[str, threading.Thread] = {}
        self._ended: set[str] = set()
        self.exits: dict[str, int] = {}
        """Exit codes of pods, as their logs' last lines tell."""
        self._files: dict[str, Appender] = {}
        self._log = Appender(directory / LOG)
        self._lock = threading.Lock()
        self._over = threading.Event()

    def follow(self, pod: str, title: str = "") -> None:
        """Follow a pod whose container runs, or has run.

        Args:
            title: of its lines in Locust's log.
        """
        if pod not in self._threads:
            self._threads[pod] = threading.Thread(target=self._read, args=(pod, title), daemon=True)
            self._threads[pod].start()

    def ended(self, pod: str) -> None:
        """Learn that nothing more will be added to a pod's log."""
        self._ended.add(pod)

    def finish(self, timeout: float) -> int:
        """Wait until the logs of pods that have ended are read, at most `timeout` seconds.

        Returns:
            Bytes of results that the disk did not take; they are lost.
        """
        end = time.monotonic() + timeout
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))
        self._over.set()
        with self._lock:
            files = [*self._files.values(), self._log]
            for file in files:
                self._write(file, b"")
                file.close()
            self._files = {}
            return sum(len(file.kept) for file in files[:-1])

    def _read(self, pod: str, title: str) -> None:
        last = ""
        while not self._over.is_set():
            whole = pod in self._ended  # before it is read: then what is read is all
            begin = last
            try:
                stream = LogStream(
                    self._cluster,
                    pod,
                    self._namespace,
                    self._container,
                    follow=True,
                    since_time=begin or None,
                )
                for stamp, text in stream:
                    # `since_time` is cut to seconds: what was read before comes again.
                    if stamp > begin:
                        self._take(text, title)
                        last = stamp
                    if exited := _EXIT.fullmatch(text):
                        self.exits[pod] = int(exited[1])
                        return
            except ClusterError:
                pass  # the pod is gone, or the API server away
            if whole:
                return
            self._over.wait(_AGAIN)

    def _take(self, text: str, title: str) -> None:
        name, line = _split(text)
        with self._lock:
            if self._over.is_set():
                return  # the files are closed
            if name is None and not _EXIT.fullmatch(text):
                self._write(self._log, f"{title}{text}\n".encode())
            elif name is not None:
                if name not in self._files:
                    try:
                        self._files[name] = Appender(self._directory / name)
                    except OSError:  # no room for one more file: once there is, the log is read again
                        raise ClusterError("the disk is full") from None
                self._write(self._files[name], line + b"\n")

    def _write(self, file: Appender, data: bytes) -> None:
        try:
            file.append(data)
        except OSError:
            pass  # the disk is full: it goes with the next line


def _split(text: str) -> tuple[str | None, bytes]:
    """Return file and content of a line of results; (None, b"") for a line of Locust's."""
    if not text.startswith(_HEAD):
        return None, b""
    try:
        told: dict[str, Any] = orjson.loads(text)
        name, line = told["file"], told["line"]
    except (orjson.JSONDecodeError, KeyError):
        return None, b""
    if not isinstance(name, str) or not isinstance(line, dict) or not _FILE.fullmatch(name):
        return None, b""
    # As it was written, not written anew.
    return name, text.partition(_BETWEEN)[2][:-1].encode()
