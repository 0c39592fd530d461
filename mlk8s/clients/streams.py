"""What comes from a pod as it happens: its log, a command's output, the bytes of a port.

Commands and ports go over a WebSocket whose frames begin with the number of a channel
(https://kubernetes.io/docs/reference/using-api/api-concepts/, `v5.channel.k8s.io`: v4 and a frame that closes
a channel).
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.kinds import BUILT_IN
from mlk8s.errors import ClusterError, UsageError, WaitTimeout

STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255
LIMIT = 16 * 2**20
"""Bytes that are kept of each stream of a command's output."""
_V5, _V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_CHUNK = 2**15
_POLL = 0.5
_LONGEST = 2**20
"""Bytes of one log line; a longer one comes in parts."""


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container left.

    Attributes:
        stdout, stderr: its output, decoded as UTF-8.
        exit_code: 0 where it succeeded.
        pod, container: where it ran.
        truncated: whether output beyond 16 MiB a stream was left out.
    """

    stdout: str
    stderr: str
    exit_code: int
    pod: str
    container: str | None
    truncated: bool = False


class LogStream:
    """The lines of one container's log, as (RFC 3339 time, text); `close` may be called from any thread.

    Args:
        follow: go on with new lines until the container ends.
        since_seconds, since_time: only lines from then on; the time is cut to whole seconds by the server.
        tail: only so many of the last lines.
        silence: seconds without a line after which the stream ends, so that a dead connection is noticed.
    """

    def __init__(
        self,
        cluster: Cluster,
        pod: str,
        namespace: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        since_seconds: int | None = None,
        since_time: str | None = None,
        tail: int | None = None,
        silence: float = 60.0,
    ) -> None:
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"previous": "true"} if previous else {}
        if since_time is not None:
            query["sinceTime"] = since_time
        elif since_seconds is not None:
            query["sinceSeconds"] = str(since_seconds)
        if tail is not None:
            query["tailLines"] = str(tail)
        path = BUILT_IN["Pod"][1].path(pod, namespace, "log")
        self._response = cluster.transport.open_stream(path, query, read_timeout=silence)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        from urllib3.exceptions import HTTPError

        rest = b""
        try:
            for chunk in self._response.stream(2**16):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST:
                    lines, rest = [*lines, rest], b""
                yield from (_stamped(line) for line in lines if line)
        except (HTTPError, OSError):
            pass  # lost, silent or closed: the caller looks whether to go on
        finally:
            self._response.close()
        if rest:
            yield _stamped(rest)

    def close(self) -> None:
        """End the stream, even while another thread waits for its next line."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            pass  # it has ended already


def _stamped(line: bytes) -> tuple[str, str]:
    stamp, _, text = line.decode(errors="replace").partition(" ")
    return stamp, text


def execute(
    cluster: Cluster,
    pod: str,
    namespace: str,
    command: list[str],
    *,
    container: str | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    output: Callable[[int, bytes], None] | None = None,
) -> ExecResult:
    """Run a command in a container and wait for its end.

    Args:
        stdin: what it reads; its standard input is closed after it.
        timeout: seconds; None waits as long as it runs.
        output: gets each piece of output with its channel (1 or 2) as it comes; nothing is kept then.

    Raises:
        NotFound, Forbidden, Rejected: no such pod or container, or not for us.
        UsageError: the command cannot be started.
        WaitTimeout: it still runs after `timeout` seconds; it may go on in the pod.
        ClusterError: the connection was lost before it ended.
    """
    query = [("command", part) for part in command] + [("stdout", "true"), ("stderr", "true")]
    query += [("container", container)] if container else []
    query += [("stdin", "true")] if stdin is not None else []
    path = BUILT_IN["Pod"][1].path(pod, namespace, "exec")
    where = f"pod {namespace}/{pod}"
    socket = cluster.transport.websocket(path, query, f"{_V5},{_V4}")
    kept: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
    status: bytearray = bytearray()
    truncated = False
    end = None if timeout is None else time.monotonic() + timeout
    try:
        if stdin is not None:
            if (socket.getheaders() or {}).get("sec-websocket-protocol") != _V5:
                raise UsageError(
                    "the API server cannot close a command's standard input",
                    where=cluster.server,
                    expected="Kubernetes 1.30 or later, or a command without stdin",
                )
            # A thread: a command that answers while it reads would else wait for us, and we for it.
            threading.Thread(target=_send, args=(socket, stdin), daemon=True).start()
        for channel, data in _frames(socket, end):
            if channel == ERROR:
                status += data
            elif channel in kept and output is not None:
                output(channel, data)
            elif channel in kept:
                room = LIMIT - len(kept[channel])
                kept[channel] += data[: max(0, room)]
                truncated = truncated or len(data) > room
    finally:
        hang_up(socket)
    if not status:
        if end is not None and time.monotonic() >= end:
            raise WaitTimeout(
                f"the command still runs after {timeout:g} s: {' '.join(command)}",
                where=where,
                next_step="it may go on in the pod; give a longer timeout",
            )
        raise ClusterError("the connection to the pod was lost before the command ended", where=where)
    return ExecResult(
        stdout=kept[STDOUT].decode(errors="replace"),
        stderr=kept[STDERR].decode(errors="replace"),
        exit_code=_exit_code(bytes(status), command, where),
        pod=pod,
        container=container,
        truncated=truncated,
    )


def _send(socket: Any, stdin: bytes) -> None:
    from websocket import WebSocketException

    try:
        for start in range(0, len(stdin), _CHUNK):
            socket.send_binary(bytes([STDIN]) + stdin[start : start + _CHUNK])
        socket.send_binary(bytes([CLOSE, STDIN]))
    except (WebSocketException, OSError):
        pass  # the command has ended without reading on


def _frames(socket: Any, end: float | None) -> Iterator[tuple[int, bytes]]:
    """Yield (channel, data) until the server closes the connection, or the monotonic time `end` is there."""
    from websocket import ABNF, WebSocketException

    while end is None or time.monotonic() < end:
        try:
            if not readable(socket, _POLL):
                continue
            opcode, data = socket.recv_data()
        except (WebSocketException, OSError, ValueError):
            return
        if opcode == ABNF.OPCODE_CLOSE:
            return
        if data and data[0] != CLOSE:
            yield data[0], bytes(data[1:])


def hang_up(socket: Any) -> None:
    """Close a WebSocket; one that the server has closed still holds its connection."""
    socket.close(timeout=1)
    socket.shutdown()


def readable(socket: Any, timeout: float) -> bool:
    """Whether a frame of a WebSocket has come within `timeout` seconds; what TLS holds back counts."""
    pending = getattr(socket.sock, "pending", None)
    return bool(pending and pending()) or bool(select.select([socket.sock], [], [], timeout)[0])


def _exit_code(text: bytes, command: list[str], where: str) -> int:
    """Return the exit code in the Status object that ends a command.

    Raises:
        UsageError: the container runtime could not start it.
    """
    status = orjson.loads(text)
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    # The kubelet, containerd and runc each put their own words before the reason.
    words = str(status.get("message") or "no reason was given").removesuffix(": unknown")
    raise UsageError(
        f"the command cannot be started: {words[max(0, words.find('exec: ')) :]}",
        where=where,
        expected=f"a program of the container's image, not {command[0]!r}",
    )
