"""An analysed rollout in a process of its own, which a test can kill; run as a script, it is that process.

A process with `deaths`, a file of steps, kills itself right after the first write to the API server whose
step is not in the file, and puts it there: with one `resume` after the other, each step of a rollout is the
last one of some process. A step is who called whom to write which object, so that the blocks count once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e_tools import wait_for

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Mlk8sError

QUICK: dict[str, Any] = {
    "alpha": 0.1, "beta": 0.1, "errors": "independent", "margin": None, "block": "4s", "bake": "4s",
    "deadline": "90s", "min_weight": 30, "max_weight": 50,
}  # fmt: skip
ERRORS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.2), **QUICK)
PATIENT = ERRORS.replace(bake="10m", deadline="20m")
"""Goes on until it is disturbed, however long that takes."""

SERVICE = "prometheus-of-a-test"
WAY = f"mlk8s-system/{SERVICE}:9090"


@dataclass(frozen=True)
class Place:
    """Where rollouts of a test run.

    Attributes:
        kubeconfig, namespace, service: what is worked on.
        directory: of the evidence.
        prometheus: NAMESPACE/SERVICE:PORT; None for the platform's own.
        blind: seconds.
        header: that leads to the canary.
    """

    kubeconfig: str
    namespace: str
    service: str
    directory: str
    prometheus: str | None = WAY
    blind: float = 60.0
    header: str | None = None


class controller:
    """A rollout in another process, killed with SIGKILL at the end of the block.

    Args:
        model: the new version; None goes on with what is there.
        deaths: file of the steps at which a process has died already.
    """

    def __init__(
        self,
        place: Place,
        model: str | None = None,
        analysis: mlk8s.Analysis | None = None,
        *,
        deaths: Path | None = None,
    ) -> None:
        told = {
            "place": place.__dict__,
            "model": model,
            "analysis": analysis.model_dump(mode="json", exclude_unset=True) if analysis else None,
            "deaths": str(deaths) if deaths else None,
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(told)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self.lines: list[str] = []
        self._seen = 0
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> controller:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        print("\n".join(self.lines))

    def until(self, text: str, seconds: float = 90.0) -> None:
        """Wait for a line with the text, after the one that was waited for before."""

        def found() -> bool:
            for number in range(self._seen, len(self.lines)):
                if text in self.lines[number]:
                    self._seen = number + 1
                    return True
            return False

        wait_for(found, seconds)

    def wait(self, seconds: float = 90.0) -> int:
        """Wait for its end, and return its exit code."""
        return self._process.wait(seconds)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
        self._process.stdout.close()


def prometheus(cluster: Cluster, name: str) -> None:
    """Let the test's own Service lead to the cluster's Prometheus, or to nothing, and wait until it does."""
    cluster.apply({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": cluster.namespace},
        "spec": {"selector": {"app.kubernetes.io/name": name}, "ports": [{"port": 9090}]},
    })  # fmt: skip
    found = Prometheus(cluster, WAY)

    def answers() -> bool:
        try:
            return bool(found.query("vector(1)"))
        except Mlk8sError:
            return False

    wait_for(lambda: answers() == (name == "prometheus"))


def die_at_new_steps(file: Path) -> None:
    """Let this process kill itself after the first write of a step that is not in the file.

    Renewals of the Lease, in a thread of their own, are no steps.
    """
    known = set(file.read_text().splitlines()) if file.exists() else set()

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Cluster, *values: Any, **options: Any) -> Any:
            answer = write(self, *values, **options)
            first = values[0]
            named = (
                (first["kind"], first["metadata"].get("name", "")) if isinstance(first, dict) else values[:2]
            )
            what = " ".join(named)
            step = f"{_callers()} > {write.__name__} {what}"
            if options.get("dry_run"):
                return answer
            if threading.current_thread() is threading.main_thread() and step not in known:
                with file.open("a") as found:
                    found.write(step + "\n")
                print(f"killed after: {step}", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    for name in ("apply", "create", "patch", "delete"):
        setattr(Cluster, name, deadly(getattr(Cluster, name)))


def _callers() -> str:
    names, frame = [], sys._getframe(2)
    while frame is not None:
        if "/mlk8s/operations/" in frame.f_code.co_filename:
            names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    words = ".".join(name for name in reversed(names) if not name.startswith("<"))
    return words.rpartition("_through_outages.")[2]  # the same for `run` and `resume`


def _main() -> None:
    from dataclasses import replace

    from mlk8s.operations.canary_run import Told

    told = json.loads(sys.argv[1])
    place = Place(**told["place"])
    k8s = mlk8s.connect(kubeconfig=place.kubeconfig, namespace=place.namespace)
    canary = k8s.service(place.service).running_canary()
    if place.prometheus is not None:
        canary.service.platform = replace(k8s.platform, prometheus=place.prometheus)
    options: dict[str, Any] = {
        "told": Told(directory=Path(place.directory)), "blind": place.blind,
        "say": lambda line: print(line, flush=True),
    }  # fmt: skip
    if told["deaths"] is not None:
        die_at_new_steps(Path(told["deaths"]))
    if told["model"] is None:
        canary.resume(**options)
    else:
        canary.run(mlk8s.Analysis(**told["analysis"]), model=told["model"], header=place.header, **options)


if __name__ == "__main__":
    _main()
