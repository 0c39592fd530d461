"""What it costs to watch a load test in a notebook's cell, and how often the cell changes.

    python benchmarks/live.py                                       # a server of this machine, no cluster
    python benchmarks/live.py --service NAMESPACE/NAME --body FILE  # a service of the connected cluster, too

A real kernel runs the cell; this process is its front end, counts the widgets' changes, and reads the
kernel's CPU time from /proc, all threads together. Runs with and without the view take turns; what the view
costs is the difference of their medians, what the kernel needs is the whole of it. The table's last line is
`met N of M`; the same is written as JSON, with the date, the machine and the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from queue import Empty
from statistics import median
from typing import NamedTuple

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from local_cluster import RESULTS, machine_facts

ROOT = Path(__file__).parents[1]
RPS, WINDOW, EDGE = 200, 20.0, 4.0
"""Requests/s; seconds that are measured; seconds before and after them."""
LOCAL = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import mlk8s
from local_load import load
load({target!r}, Path({directory!r}), mlk8s.LoadProfile.constant(rps={rps}, hold={hold}), live={live})
"""
SERVICE = """
import sys, mlk8s
namespace, name = {target!r}.split("/")
profile = mlk8s.LoadProfile.constant(rps={rps}, hold={hold})
mlk8s.connect(namespace=namespace).service(name).loadtest(
    profile, body={body!r}, directory={directory!r}, live={live})
"""
CHECK = "print('locust' in sys.modules or 'gevent' in sys.modules)"


class Watched(NamedTuple):
    """One run: share of a core, and the seconds at which the cell changed."""

    cpu: float
    changes: list[float]
    locust: bool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--service", metavar="NAMESPACE/NAME")
    parser.add_argument("--body", metavar="FILE", default="")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    places = {"a server of this machine": LOCAL}
    if options.service:
        places["a service of a cluster, sampled"] = SERVICE
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "loadgen" / "v2server.py")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            for words, cell in places.items():
                found: dict[bool, list[Watched]] = {True: [], False: []}
                for number in range(options.runs):
                    for live in (True, False):
                        directory = Path(scratch) / f"{len(rows)}-{number}-{live}"
                        code = cell.format(
                            tests=str(ROOT / "tests" / "operations"), directory=str(directory), rps=RPS,
                            target=url if cell is LOCAL else options.service, hold=WINDOW + 2 * EDGE,
                            live=live, body=str(Path(options.body).absolute()),
                        )  # fmt: skip
                        found[live].append(watch(code, directory))
                rows += judge(words, found[True], found[False])
        finally:
            server.terminate()
            server.wait()
    tell(rows)
    return 0 if all(row["met"] for row in rows) else 1


def judge(words: str, live: list[Watched], plain: list[Watched]) -> list[dict[str, object]]:
    """Return the rows of one place."""
    rate = min(len(run.changes) / WINDOW for run in live)
    pause = max(later - one for run in live for one, later in pairwise(run.changes))
    whole, without = median(run.cpu for run in live), median(run.cpu for run in plain)
    spread = (
        f"{100 * min(r.cpu for r in live):.2f} to {100 * max(r.cpu for r in live):.2f} % in {len(live)} runs"
    )
    return [
        row(f"{words}: changes of the cell", 2, rate, "a second", rate >= 2, "the least of the runs"),
        row(f"{words}: longest time without one", 1, pause, "s", pause <= 1, "of all runs"),
        row(f"{words}: CPU of the view", 2, 100 * (whole - without), "% of a core", whole - without <= 0.02,
            f"with it less without it ({100 * without:.2f} %)"),
        row(f"{words}: CPU of the whole kernel", 2, 100 * whole, "% of a core", whole <= 0.02, spread),
        row(f"{words}: kernels with Locust in them", 0, sum(run.locust for run in live + plain), "",
            not any(run.locust for run in live + plain), ""),
    ]  # fmt: skip


def row(what: str, asked: float, measured: float, unit: str, met: bool, note: str) -> dict[str, object]:
    return {"what": what, "asked": asked, "measured": measured, "unit": unit, "met": met, "note": note}


def watch(code: str, directory: Path) -> Watched:
    """Run the cell in a fresh kernel and watch it from `EDGE` seconds after the first request on."""
    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    try:
        request = client.execute(code)
        while not (lines := [line for file in directory.glob("requests-*.jsonl") for line in file.open()]):
            changes(client, 0.1)
        start = json.loads(lines[0])["t"]
        while time.time() < start + EDGE:
            changes(client, 0.05)
        pid = manager.provisioner.process.pid
        begin, cpu, seen = time.time(), cpu_seconds(pid), list[float]()
        while time.time() < begin + WINDOW:
            seen += changes(client, 0.05)
        share = (cpu_seconds(pid) - cpu) / (time.time() - begin)
        wait(client, request)
        return Watched(share, seen, says(client, CHECK) == "True")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def changes(client: BlockingKernelClient, seconds: float) -> list[float]:
    """Return when the numbers changed, of what the kernel said within `seconds`."""
    try:
        message = client.get_iopub_msg(timeout=seconds)
    except Empty:
        return []
    if message["msg_type"] == "error":
        raise RuntimeError("\n".join(message["content"]["traceback"]))
    if message["msg_type"] != "comm_msg" or "progressbar" not in str(message["content"]["data"].get("state")):
        return []
    return [time.time()]


def wait(client: BlockingKernelClient, request: str) -> None:
    while client.get_shell_msg(timeout=120)["parent_header"].get("msg_id") != request:
        pass


def says(client: BlockingKernelClient, code: str) -> str:
    """Return what a cell prints."""
    text: list[str] = []

    def take(message: dict) -> None:  # type: ignore[type-arg]
        if message["msg_type"] == "stream":
            text.append(message["content"]["text"])

    client.execute_interactive(code, output_hook=take, timeout=60)
    return "".join(text).split()[-1]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of all its threads, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(rows: list[dict[str, object]]) -> None:
    """Print the table and write it with its circumstances."""
    for item in rows:
        mark = "met   " if item["met"] else "MISSED"
        print(
            f"{mark} {item['what']:<62} {item['measured']:>7.3g} {item['unit']} "
            f"(asked {item['asked']}) {item['note']}"
        )
    now = datetime.now(UTC)
    packages = ("mlk8s", "ipykernel", "ipywidgets", "jupyter_client", "locust", "numpy")
    result = {
        "date": now.isoformat(timespec="seconds"), "machine": machine_facts(),
        "versions": {name: version(name) for name in packages},
        "load": {"requests/s": RPS, "seconds measured": WINDOW, "load average": os.getloadavg()},
        "rows": rows,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"live-{now:%Y-%m-%d}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {file.relative_to(ROOT)}")
    print(f"met {sum(bool(item['met']) for item in rows)} of {len(rows)}")


if __name__ == "__main__":
    sys.exit(main())
