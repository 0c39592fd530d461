"""Measure the local cluster and the two README commands against what the project promises.

    python benchmarks/local_cluster.py             # up, memory, deploy against kubectl: a few minutes
    python benchmarks/local_cluster.py --commands  # also `make check`, `make demo`, `make test` with a cache
    python benchmarks/local_cluster.py --cold      # also `make demo` in a fresh clone with an empty cache

Everything is measured on clusters of its own. The table's last line is `met N of M` with the rows that are
not met; the same is written as JSON, with the date, the machine and the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
NAME = "bench"
PORT = 18400
GIB = 2**30
TARGETS = {"check": 60.0, "demo": 210.0, "test": 1200.0}
"""Make targets and the most seconds they may take with a cache."""


@dataclass(frozen=True)
class Row:
    """One promise and what was measured; `asked` is the most that is allowed."""

    what: str
    asked: float
    measured: float
    unit: str
    note: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.asked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commands", nargs="*", choices=TARGETS, help="also these make targets (all)")
    parser.add_argument("--cold", action="store_true", help="also `make demo` from nothing")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of `up` and of `deploy` (median)")
    arguments = parser.parse_args()
    rows = cluster_rows(arguments.repeat)
    if arguments.commands is not None:
        rows += command_rows(arguments.commands or list(TARGETS))
    if arguments.cold:
        rows += cold_rows()
    report(rows)
    return 0


def cluster_rows(repeat: int) -> list[Row]:
    """`up` with a cache, memory at rest, `deploy` against kubectl."""
    from bench_cluster import deploy_times, memory_of, up_times

    node, whole = [], []
    for _ in range(repeat):
        down(NAME)
        times = up_times(NAME, PORT)
        node.append(times.node_ready)
        whole.append(times.platform_ready)
    time.sleep(30)  # at rest: start-up garbage is collected, leases and scrapes have settled
    memory = memory_of(NAME)
    ours, kubectl, first = deploy_times(NAME, repeat)
    down(NAME)
    return [
        Row("up with a cache: node Ready", 10, statistics.median(node), "s", spread(node)),
        Row("up with a cache: every platform part ready", 45, statistics.median(whole), "s", spread(whole)),
        Row("memory of the idle cluster and platform (PSS)", 1.5, memory / GIB, "GiB"),
        Row("deploy to first answered prediction", 8, statistics.median(first), "s", spread(first)),
        Row(
            "deploy against kubectl apply + rollout status",
            1.15,
            statistics.median(ours) / statistics.median(kubectl),
            "x",
            f"{statistics.median(ours):.2f} s against {statistics.median(kubectl):.2f} s",
        ),
    ]


def command_rows(targets: list[str]) -> list[Row]:
    """The make targets, with a cache, in this checkout."""
    rows = []
    for target in targets:
        if target == "demo":
            down("mlk8s")
        rows.append(Row(f"make {target} with a cache", TARGETS[target], timed(["make", target], ROOT), "s"))
    down("mlk8s")
    return rows


def cold_rows() -> list[Row]:
    """`make demo` in a fresh clone with an empty cache and an empty state."""
    down("mlk8s")
    with tempfile.TemporaryDirectory(prefix="mlk8s-cold-", ignore_cleanup_errors=True) as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        cache = Path(folder) / "cache"
        environment = os.environ | {"XDG_CACHE_HOME": str(cache), "MLK8S_CACHE": str(cache / "mlk8s")}
        environment.pop("VIRTUAL_ENV", None)
        seconds = timed(["make", "demo"], clone, environment)
        built = sum(build_seconds(path.read_text()) for path in cache.rglob("origin.txt"))
        down("mlk8s")
    return [
        Row("cold make demo", 900, seconds, "s", f"{built:.0f} s of it builds"),
        Row("cold make demo, all but the builds", 240, seconds - built, "s"),
    ]


def build_seconds(origin: str) -> float:
    """Return the seconds that a part's note of its origin names, 0 where it was not built."""
    found = re.fullmatch(r"built .*, in (\d+) s", origin.strip())
    return float(found[1]) if found else 0.0


def timed(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> float:
    """Run a command to its end and return its seconds; it must succeed to count."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}: a failed run is not a measurement"
        )
    return seconds


def down(name: str) -> None:
    mlk8s = Path(sys.executable).with_name("mlk8s")
    subprocess.run([mlk8s, "down", "--name", name, "--yes"], capture_output=True)


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} in {len(values)} runs"


def report(
    rows: list[Row],
    name: str | None = "local_cluster",
    versions: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> None:
    """Print the table and write it as JSON, with the `versions` of what was measured and `more` of it;
    without a name only print it."""
    width = max(len(row.what) for row in rows)
    print(f"{'what':{width}}  {'asked':>10}  {'measured':>10}  met")
    for row in rows:
        asked, measured = f"{row.asked:g} {row.unit}", f"{row.measured:.2f} {row.unit}"
        print(f"{row.what:{width}}  {asked:>10}  {measured:>10}  {'yes' if row.met else 'NO':3}  {row.note}")
    if name is not None:
        now = datetime.now(UTC)
        facts: dict[str, object] = {"date": now.isoformat(timespec="seconds"), "machine": machine_facts()}
        if versions:
            facts["versions"] = dict(versions)
        facts["rows"] = [asdict(row) | {"met": row.met} for row in rows]
        facts |= more or {}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}-{now:%Y-%m-%d}.json").write_text(json.dumps(facts, indent=1) + "\n")
    missed = [row.what for row in rows if not row.met]
    tail = f"; not met: {'; '.join(missed)}" if missed else ""
    print(f"met {len(rows) - len(missed)} of {len(rows)}{tail}")


def module_version(folder: str, module: str) -> str:
    """Return the version of a Go module that `benchmarks/go/<folder>` pins."""
    text = (ROOT / "benchmarks" / "go" / folder / "go.mod").read_text()
    found = re.search(rf"{re.escape(module)} (v\S+)", text)
    return found[1] if found else "unknown"


def machine_facts() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / GIB, 1),
        "kernel": machine.release(),
        "python": machine.python_version(),
        "kubectl": shutil.which("kubectl") is not None,
    }


if __name__ == "__main__":
    raise SystemExit(main())
