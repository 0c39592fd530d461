"""Locust as a process of its own: importing it patches the interpreter and would hang a kernel."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from mlk8s.errors import LoadTestError
from mlk8s.loadgen.command import last_words, locust_command, locust_environment
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.settings import Settings

LOG = "locust.log"


def _together(processes: int) -> list[str]:
    """Return the options of several processes: they meet on this machine only, at a port of their own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    meet = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return ["--processes", str(processes), *meet]


class LocustProcess:
    """One running load test.

    Args:
        settings: what to send; its directory takes the results and `locust.log`.

    Raises:
        UsageError: when the target is neither loopback nor the cluster's ingress; nothing was started.
        LoadTestError: when Locust is not installed or cannot be started.
    """

    late = 0.1
    """Seconds after which what was recorded in a second is in its file."""
    lost: Mapping[int, str] = {}
    """Workers that ended before the others: of processes of one machine, the results alone tell."""

    def __init__(self, settings: Settings) -> None:
        check_target(settings.url, settings.allowed)
        if find_spec("locust") is None:
            raise LoadTestError(
                "Locust is not installed", where=sys.executable, next_step="pip install 'mlk8s[load]'"
            )
        self._directory = settings.directory
        self._wait = settings.timeout
        more = _together(settings.workers) if settings.workers > 1 else []
        command, environment = locust_command(settings, *more), locust_environment(settings.write())
        try:
            with (self._directory / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                    cwd=self._directory,
                    start_new_session=True,  # Ctrl-C reaches only us, and we stop Locust in order
                )  # fmt: skip
        except OSError as error:
            raise LoadTestError(f"Locust cannot be started: {error}", where=str(self._directory)) from None

    @property
    def pid(self) -> int:
        """Process id of Locust."""
        return self._process.pid

    def running(self) -> bool:
        """Whether Locust still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 0 when the whole profile was sent; negative for a signal."""
        return self._process.poll()

    def stop(self) -> None:
        """End Locust: SIGINT and time for requests in flight, then SIGTERM, then SIGKILL."""
        for sign, seconds in ((signal.SIGINT, self._wait + 3), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
            if not self.running():
                return
            self._process.send_signal(sign)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue

    def death(self) -> str | None:
        """Return why it did not run to its end, or None."""
        code = self.exit_code or 0
        if code == 0:
            return None
        how = f"Locust was ended by signal {-code}" if code < 0 else f"Locust ended with exit code {code}"
        words = self.last_words()
        return f"{how}:\n{words}" if words else how

    def last_words(self, lines: int = 8) -> str:
        """Return what the load generator said last, else the end of Locust's log, for a message."""
        try:
            text = (self._directory / LOG).read_text(errors="replace")
        except OSError:
            return ""
        return last_words(text, lines)
