"""Score `mlk8s why`: faults are injected into a real cluster, and each cause must be named, in time.

    python benchmarks/why.py                      # a local cluster of its own
    python benchmarks/why.py --cluster mlk8s-dev  # one that is there; each fault gets a namespace of its own
    python benchmarks/why.py --only oom,tls

On a cluster of its own, KEDA and VPA come after the faults that want a cluster without them. Faults of the
whole cluster follow: a taint, a cordon, a node that hangs, a metrics API that is gone or down, a part of KEDA
or VPA that does not run.

Faults are injected in batches. After a batch has settled, `why` is asked exactly once for each, one at a
time, with nothing known beforehand. The table's last line is `met N of M`; the same is written as JSON, with
the date, the machine and the versions.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from faults import FAULTS, Fault
from injection import inject, remove
from local_cluster import RESULTS, machine_facts
from scaler_faults import SCALERS
from scene import Scene

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Mlk8sError
from mlk8s.local.optional import installed
from mlk8s.operations.connection import Kubernetes

NAME, PORT = "bench-why", 18600
PARTS = ("keda", "vpa")
SECONDS = 5.0
SHARE = 0.9
"""Of the causes that must be named right."""


@dataclass(frozen=True)
class Row:
    """One fault: what was expected and what `why` said."""

    fault: str
    expected: str
    named: str | None
    seconds: float
    sentence: str
    remedy: str | None
    words: bool

    @property
    def right(self) -> bool:
        return self.named == self.expected and self.words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cluster", help="name of a local cluster that is up; by default one is made")
    parser.add_argument("--only", default="", help="names of faults, separated by commas")
    parser.add_argument("--batch", type=int, default=24, help="faults that are injected at once")
    parser.add_argument("--settle", type=float, default=45.0, help="seconds after a batch was injected")
    parser.add_argument("--wide", action="store_true", help="also break the named cluster as a whole")
    arguments = parser.parse_args()
    faults = [f for f in (*FAULTS, *SCALERS) if not arguments.only or f.name in arguments.only.split(",")]
    if arguments.cluster is None:
        bring_up()
    k8s = mlk8s.connect(cluster=arguments.cluster or NAME)
    rows: list[Row] = []
    rows += batches(k8s, faults, arguments)
    if arguments.cluster is None:
        bring_up(PARTS)
        rows += batches(k8s, [f for f in faults if f.needs], arguments)
    if arguments.cluster is None or arguments.wide:
        rows += wide(k8s)
    if arguments.cluster is None:
        from mlk8s.local import native

        native.down(NAME)
    return report(rows, k8s.version, keep=not arguments.only)


def bring_up(parts: tuple[str, ...] = ()) -> None:
    """Start the benchmark's own cluster, or add optional parts to it."""
    from mlk8s.local import native
    from mlk8s.local.progress import open_progress

    with open_progress() as progress:
        native.up(NAME, port=PORT, progress=progress, yes=True, optional=parts)


def batches(k8s: Kubernetes, faults: list[Fault], arguments: argparse.Namespace) -> list[Row]:
    """Ask for each of the faults that the cluster can have with the parts that it has now."""
    fitting = [fault for fault in faults if fault.fits(installed(k8s.cluster))]
    size = arguments.batch
    found = [batch(k8s, fitting[i : i + size], arguments.settle) for i in range(0, len(fitting), size)]
    return [row for rows in found for row in rows]


def batch(k8s: Kubernetes, faults: list[Fault], settle: float) -> list[Row]:
    """Inject faults side by side, let them settle, ask for each once, remove them."""
    image = k8s.platform.server_image or ""
    with ThreadPoolExecutor(8) as pool:
        scenes = list(pool.map(lambda fault: inject(k8s.cluster, fault, image), faults))
        try:
            time.sleep(settle)
            return [ask(k8s, fault, scene) for fault, scene in zip(faults, scenes, strict=True)]
        finally:
            list(pool.map(lambda scene: remove(Cluster.connect(cluster=_name(k8s)), scene), scenes))


def wide(k8s: Kubernetes) -> list[Row]:
    """Break the whole cluster in one way after the other, and mend it."""
    from wide_faults import WIDE

    rows = []
    for item in WIDE:
        with ExitStack() as stack:
            if item.before:
                stack.enter_context(item.during(_name(k8s), k8s.cluster))
            scene = inject(k8s.cluster, item.fault, k8s.platform.server_image or "")
            stack.callback(remove, k8s.cluster, scene)
            if not item.before:
                time.sleep(10)  # until the pod runs
                stack.enter_context(item.during(_name(k8s), k8s.cluster))
            time.sleep(item.settle)
            rows.append(ask(k8s, item.fault, scene))
    return rows


def ask(k8s: Kubernetes, fault: Fault, scene: Scene) -> Row:
    """Ask as a new process would: with a connection of its own."""
    start = time.perf_counter()
    try:
        fresh = mlk8s.connect(cluster=_name(k8s), namespace=scene.namespace)
        found = fresh.why(fault.asks)
        sentence, named, remedy = found.summary, found.id, found.remedy
    except Mlk8sError as error:
        sentence, named, remedy = str(error), type(error).__name__, None
    seconds = time.perf_counter() - start
    words = re.search(fault.words, sentence, re.DOTALL) is not None
    row = Row(fault.name, fault.cause, named, seconds, sentence, remedy, words)
    mark = "ok " if row.right else "NO "
    print(f"{mark} {fault.name:16} {seconds:5.2f} s  {named}: {sentence[:150]}", file=sys.stderr, flush=True)
    return row


def _name(k8s: Kubernetes) -> str:
    return k8s.cluster.context.removeprefix("mlk8s-")


def report(rows: list[Row], version: str, *, keep: bool) -> int:
    """Print the table, write the JSON (of a whole run), and say what was met."""
    right = [row for row in rows if row.right]
    slowest = max(row.seconds for row in rows)
    wanted = math.ceil(SHARE * len(rows))
    print(f"{'fault':18}{'expected':26}{'named':26}{'seconds':>8}")
    for row in rows:
        print(
            f"{row.fault:18}{row.expected:26}{row.named or '-':26}{row.seconds:8.2f}"
            f"  {'' if row.right else 'NO'}"
        )
    goals = {
        f"causes named right: {len(right)} of {len(rows)} (at least {wanted})": len(right) >= wanted,
        f"slowest answer: {slowest:.2f} s (at most {SECONDS:g})": slowest <= SECONDS,
    }
    for goal, met in goals.items():
        print(f"{goal}: {'met' if met else 'NOT met'}")
    if keep:
        now = datetime.now(UTC)
        facts = {"date": now.isoformat(timespec="seconds"), "machine": machine_facts(), "kubernetes": version}
        body = facts | {"goals": goals, "rows": [asdict(row) | {"right": row.right} for row in rows]}
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"why-{now:%Y-%m-%d}.json"
        path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [goal for goal, met in goals.items() if not met]
    tail = f"; not met: {'; '.join(missed)}" if missed else ""
    print(f"met {len(goals) - len(missed)} of {len(goals)}{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
