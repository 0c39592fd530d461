"""Locust as a process of its own: importing it patches the interpreter and would hang a kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import mlk8s
from mlk8s.errors import LoadTestError
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.settings import VARIABLE, Settings

LOG = "locust.log"
_OURS = "/mlk8s.loadgen"
"""Marks our own lines in Locust's log: its tables at the end say nothing of what went wrong."""


class LocustProcess:
    """One running load test.

    Args:
        settings: what to send; its directory takes the results and `locust.log`.

    Raises:
        UsageError: when the target is neither loopback nor the cluster's ingress; nothing was started.
        LoadTestError: when Locust is not installed or cannot be started.
    """

    def __init__(self, settings: Settings) -> None:
        check_target(settings.url, settings.allowed)
        if find_spec("locust") is None:
            raise LoadTestError(
                "Locust is not installed", where=sys.executable, next_step="pip install 'mlk8s[load]'"
            )
        self._directory = settings.directory
        self._wait = settings.timeout
        package = Path(mlk8s.__path__[0]).resolve()
        command = [
            sys.executable, "-m", "locust", "--headless", "--only-summary", "--loglevel", "INFO",
            "--locustfile", str(package / "loadgen" / "locustfile.py"),
            "--stop-timeout", f"{ceil(settings.timeout) + 1}s",
            # Failed requests are results, not a failure of Locust: its exit code shall tell only that.
            "--exit-code-on-error", "0",
            *(["--processes", str(settings.workers)] if settings.workers > 1 else []),
        ]  # fmt: skip
        # Locust reads options from LOCUST_* variables; a forgotten one must not change the test.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        paths = [str(package.parent), *filter(None, [kept.get("PYTHONPATH")])]
        kept |= {VARIABLE: str(settings.write().resolve()), "PYTHONPATH": os.pathsep.join(paths)}
        try:
            with (self._directory / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=kept, cwd=self._directory,
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

    def last_words(self, lines: int = 8) -> str:
        """Return what the load generator said last, else the end of Locust's log, for a message."""
        try:
            text = (self._directory / LOG).read_text(errors="replace")
        except OSError:
            return ""
        said = [line.partition(_OURS)[2].lstrip(": ") for line in text.splitlines() if _OURS in line]
        return "\n".join((said or text.rstrip().splitlines())[-lines:])
