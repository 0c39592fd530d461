"""A port of a pod on 127.0.0.1, over a WebSocket for each connection.

The protocol is Kubernetes' `v4.channel.k8s.io` for port forwarding: channel 0 carries the bytes, channel 1 an
error in words, and the first frame of each names the port.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.kinds import BUILT_IN
from mlk8s.clients.streams import hang_up, readable
from mlk8s.errors import ClusterError, Mlk8sError, UsageError

_DATA, _ERROR = 0, 1
_PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 2**15
_POLL = 0.5
_TRIES = 3
_HALF_CLOSED = 10.0  # seconds that a client which has said everything is still answered


class PortForward:
    """Listens on a port of 127.0.0.1, and leads each connection to a pod, while a `with` block runs.

    Every connection asks anew which pods are ready: when one ends, what was connected to it ends too, and the
    next connection goes to another.

    Args:
        pods: returns the names of the pods to choose from, the best first.
        port: port of the pod.
        local_port: port of 127.0.0.1; 0 takes any that is free.
        say: gets one line for each connection that could not be made.

    Raises:
        UsageError: the local port is taken.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        pods: Callable[[], list[str]],
        port: int,
        *,
        local_port: int = 0,
        say: Callable[[str], None],
    ) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._pods, self._port, self._say = pods, port, say
        self._over = threading.Event()
        self._open: set[Any] = set()
        try:
            self._listener = socket.create_server(("127.0.0.1", local_port))
        except OSError as error:
            raise UsageError(
                f"the port cannot be listened on: {error.strerror}",
                where=f"127.0.0.1:{local_port}",
                expected="a free port, or 0 for any",
            ) from None
        self._thread = threading.Thread(target=self._accept, name="mlk8s-port-forward", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Port of 127.0.0.1 that is listened on."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Return when it was closed."""
        while not self._over.wait(_POLL):
            pass

    def close(self) -> None:
        """Stop listening and end every connection."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        self._listener.close()
        for each in list(self._open):
            _shut(each)

    def _accept(self) -> None:
        while not self._over.is_set():
            if select.select([self._listener], [], [], _POLL)[0]:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            tunnel = self._connect()
        except Mlk8sError as error:
            self._say(f"no pod answers on port {self._port}: {error.what}")
        else:
            self._open.add(tunnel)
            try:
                self._pump(client, tunnel)
            finally:
                self._open.discard(tunnel)
                _shut(tunnel)
        finally:
            self._open.discard(client)
            _shut(client)

    def _connect(self) -> Any:
        """Return a WebSocket to the first pod that takes one.

        Raises:
            ClusterError: none does; the last reason.
        """
        refused: Mlk8sError | None = None
        for pod in self._pods()[:_TRIES]:
            path = BUILT_IN["Pod"][1].path(pod, self._namespace, "portforward")
            try:
                return self._cluster.transport.websocket(path, [("ports", str(self._port))], _PROTOCOL)
            except Mlk8sError as error:
                refused = error
        raise refused or ClusterError("no pod is ready")

    def _pump(self, client: socket.socket, tunnel: Any) -> None:
        back = threading.Thread(target=self._receive, args=(client, tunnel), daemon=True)
        back.start()
        from websocket import WebSocketException

        try:
            while data := client.recv(_CHUNK):
                tunnel.send_binary(bytes([_DATA]) + data)
        except (WebSocketException, OSError):
            pass  # one of the two has ended: so does the other
        else:
            # The client has said all that it has to say, and may still read: HTTP clients do so.
            back.join(_HALF_CLOSED)

    def _receive(self, client: socket.socket, tunnel: Any) -> None:
        from websocket import ABNF, WebSocketException

        named: set[int] = set()
        try:
            while not self._over.is_set():
                if not readable(tunnel, _POLL):
                    continue
                opcode, frame = tunnel.recv_data()
                if opcode == ABNF.OPCODE_CLOSE or not frame:
                    break
                channel, data = frame[0], bytes(frame[1:])
                if channel not in named:
                    named.add(channel)
                    data = data[2:]  # the port's number, in the first frame of each channel
                if channel == _ERROR and data:
                    self._say(f"the pod refuses port {self._port}: {data.decode(errors='replace').strip()}")
                    break
                if data:
                    client.sendall(data)
        except (WebSocketException, OSError, ValueError):
            pass
        _shut(client)


def _shut(end: Any) -> None:
    """Close a socket or WebSocket so that whoever waits on it goes on."""
    from websocket import WebSocketException

    try:
        if isinstance(end, socket.socket):
            end.shutdown(socket.SHUT_RDWR)
        else:
            hang_up(end)
    except (WebSocketException, OSError, ValueError):
        pass  # it was closed by the other end already
    finally:
        if isinstance(end, socket.socket):
            end.close()
