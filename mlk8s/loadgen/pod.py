"""`python -m mlk8s.loadgen.pod master|worker`: Locust in a pod, whose results are lines of the pod's log.

The settings come from a read-only volume, so they are copied to where results may be written. Each line that
the engine completes is printed with the name of its file,

    {"file": "requests-iris-load-3f2a1-1-17.jsonl", "line": {...}}

the last line of the log is {"exit": CODE}, and everything else is Locust's. Whoever reads the log has the
same files as a load test on the reader's own machine, and lost none of it while it was not reading.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from mlk8s.loadgen.command import locust_command, locust_environment
from mlk8s.loadgen.settings import FILE, GIVEN, MASTER, PORT, RESULTS, Settings

_PATIENCE = 300
"""Seconds that a master waits for its workers, whose image may have to be pulled."""
_LOOK = 0.1
"""Seconds between two looks for new lines."""


def main() -> int:
    """Run Locust in the given role until it ends, and return its exit code."""
    role = sys.argv[1]
    for file in GIVEN.iterdir():
        if file.is_file():
            shutil.copyfile(file, RESULTS / file.name)
    environment = locust_environment(RESULTS / FILE)
    settings = Settings.read(environment)
    if role == "master":
        more = ["--master", "--expect-workers", str(settings.workers)]
        more += ["--expect-workers-max-wait", str(_PATIENCE)]
    else:
        more = ["--worker", "--master-host", os.environ[MASTER], "--master-port", str(PORT)]
    locust = subprocess.Popen(
        locust_command(settings, *more), stdin=subprocess.DEVNULL, env=environment, cwd=RESULTS
    )

    def stop(number: int, _frame: FrameType | None) -> None:
        locust.send_signal(number)

    signal.signal(signal.SIGTERM, stop)
    lines = Lines(RESULTS)
    while True:
        try:
            code = locust.wait(_LOOK)
        except subprocess.TimeoutExpired:
            lines.tell()
        else:
            lines.tell()
            code = code if code >= 0 else 128 - code
            # Known here at once; Kubernetes needs a second or two to see that a container has ended.
            sys.stdout.write(f'{{"exit":{code}}}\n')
            return code


class Lines:
    """Prints the lines that are added to the JSONL files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places: dict[str, int] = {}

    def tell(self) -> None:
        """Print what was completed since the last call, each second of the engine's in one write."""
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._places.get(path.name, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._places[path.name] = self._places.get(path.name, 0) + len(whole)
            for line in whole.splitlines():
                sys.stdout.buffer.write(b'{"file":"%s","line":%s}\n' % (path.name.encode(), line))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
