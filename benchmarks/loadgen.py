"""Measure the load generator beside its peers, on one server, in turns.

    python benchmarks/loadgen.py                # everything; the first time the peers are built
    python benchmarks/loadgen.py --only ours    # without the peers that are to be built
    python benchmarks/loadgen.py --part lag     # one part of it; nothing is written then

The deciding figure is CPU time a request, user and system, of the process that sends: on a machine with
other work beside it, rates say little. k6, vegeta and fortio are built from the Go modules in
`benchmarks/go`, wrk is Debian's. The table's last line is `met N of M`; the same is written as JSON, with the
date, the machine and the versions.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import timeit
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import process_time as cpu

import numpy as np
from loadgen_drivers import Engine, Sent, Server, fortio, k6, locust, long_run, report_cost, vegeta, wrk
from local_cluster import Row, module_version, report, spread

from mlk8s.loadgen.histogram import Histogram, bucket_of, value_of

CONNECTIONS = 32
FULL_RATE, OPEN_RATE = 40_000.0, 20_000.0
"""Requests/s of open loops whose CPU time is compared. Requests/s a core are those of a core that is busy, as
wrk's always is; at a lower rate there is more waking for each request, which is told beside it."""
STALL_RATE, STALL_SECONDS = 200.0, 12.0
MODULES = {"k6": "go.k6.io/k6", "vegeta": "github.com/tsenart/vegeta/v12", "fortio": "fortio.org/fortio"}
PARTS = ("recorder", "cpu", "scale", "lag", "stall", "report")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns; the table has medians")
    parser.add_argument("--only", choices=["ours"], help="without the peers that are to be built")
    parser.add_argument("--part", choices=PARTS, help="one part: its rows are printed, nothing is written")
    arguments = parser.parse_args()
    rounds, peers = arguments.rounds, arguments.only is None
    rows: list[Row] = []
    for part in (arguments.part,) if arguments.part else PARTS:
        rows += measure(part, rounds, peers)
    report(rows, None if arguments.part else "loadgen", versions(peers))
    return 0


def measure(part: str, rounds: int, peers: bool) -> list[Row]:
    """Measure one of PARTS."""
    if part == "recorder":
        return recorder_rows(rounds)
    if part == "stall":
        return [stall_row(rounds)]
    if part == "report":
        return report_rows(rounds)
    with server() as at:
        if part == "cpu":
            return cpu_rows(at, rounds, peers=peers)
        return [scale_row(at, rounds)] if part == "scale" else lag_rows(at, rounds, peers=peers)


def versions(peers: bool) -> dict[str, str]:
    """The versions of what was measured."""
    found = {name: version(name) for name in ("locust", "uvloop", "httptools", "numpy", "matplotlib")}
    if peers:
        found |= {name: module_version(name, module) for name, module in MODULES.items()}
    return found


@contextmanager
def server(*options: str) -> Iterator[Server]:
    at = Server(*options)
    try:
        yield at
    finally:
        at.stop()


def recorder_rows(rounds: int) -> list[Row]:
    """What a record costs, and how far a value is from what was recorded."""
    samples = np.random.default_rng(1).lognormal(15, 1, 200_000).astype(np.int64).tolist()
    histogram = Histogram()

    def record() -> None:
        for place in range(0, len(samples), 1_000):  # as many as come between two looks of the engine
            for sample in samples[place : place + 1_000]:
                histogram.add(sample)
            histogram.fold()

    def nothing() -> None:
        for _ in samples:
            pass

    took = [
        (timeit.timeit(record, number=1, timer=cpu) - timeit.timeit(nothing, number=1, timer=cpu))
        / len(samples)
        for _ in range(rounds)
    ]
    grid = np.geomspace(50e3, 60e9 - 1, 100_000).astype(np.int64).tolist()
    worst = max(abs(value_of(bucket_of(value)) / (value * 1e-9) - 1) for value in grid)
    microseconds = [1e6 * value for value in took]
    return [
        Row("recorder: CPU a record", 0.25, statistics.median(microseconds), "µs", spread(microseconds)),
        Row("recorder: largest error, 50 µs to 60 s", 1.0, 100 * worst, "%"),
    ]


def cpu_rows(at: Server, rounds: int, *, peers: bool) -> list[Row]:
    """CPU time a request: ours in an open loop, the peers as each is at its best, in turns."""
    drivers: dict[str, Callable[[], Sent]] = {
        "ours": lambda: Engine(at).open(FULL_RATE, 5, CONNECTIONS),
        f"ours at {OPEN_RATE:,.0f}/s": lambda: Engine(at).open(OPEN_RATE, 5, CONNECTIONS),
        "ours, closed loop": lambda: Engine(at).closed(CONNECTIONS, 4),
        "Locust": lambda: locust(at, users=CONNECTIONS, seconds=4),
        "wrk -t1": lambda: wrk(at, CONNECTIONS, 4),
    }
    if peers:
        drivers |= {
            "vegeta": lambda: vegeta(at, OPEN_RATE, 4, CONNECTIONS),
            "fortio": lambda: fortio(at, OPEN_RATE, 4, CONNECTIONS),
            "k6": lambda: k6(at, 4_000, 4),
        }
    found: dict[str, list[float]] = {name: [] for name in drivers}
    for _ in range(rounds):
        for name, drive in drivers.items():
            sent = drive()
            found[name].append(sent.cpu / sent.requests * 1e6)
            at.arrivals()
    cost = {name: statistics.median(values) for name, values in found.items()}
    rate = {name: f"{value:.1f} µs" for name, value in cost.items()}
    others = ", ".join(f"{name} {rate[name]}" for name in rate if name not in ("ours", "Locust", "wrk -t1"))
    return [
        Row(f"CPU a request, open loop, {FULL_RATE:,.0f}/s, against Locust's user",
            1 / 5, cost["ours"] / cost["Locust"], "x",
            f"{rate['ours']} against {rate['Locust']}: {1e6 / cost['ours']:,.0f} requests/s a core"),
        Row("the same against wrk -t1", 2.0, cost["ours"] / cost["wrk -t1"], "x",
            f"{rate['ours']} against {rate['wrk -t1']}; beside them {others}"),
    ]  # fmt: skip


def scale_row(at: Server, rounds: int) -> Row:
    """Two workers against one, each at the same rate: what each is able to do is bound by its CPU.

    The cores that this is measured on are fewer than two workers and a server need, so that the rate itself
    would be the machine's; requests for a second of CPU are the workers' own.
    """
    one, two = [], []
    for _ in range(rounds):
        one.append(Engine(at).open(OPEN_RATE, 5, CONNECTIONS).each)
        at.arrivals()
        two.append(Engine(at).open(2 * OPEN_RATE, 5, CONNECTIONS, workers=2).each)
        at.arrivals()
    first, both = statistics.median(one), statistics.median(two)
    note = (
        f"{2 * first / both:.2f} x one worker's rate for a second of CPU each (asked 1.8): "
        f"{first:.1f} µs a request of one at {OPEN_RATE:,.0f}/s, {both:.1f} µs of two with as much each"
    )
    return Row("CPU a request of two workers against one", 2 / 1.8, both / first, "x", note)


def lag_rows(at: Server, rounds: int, *, peers: bool) -> list[Row]:
    """How late requests arrive at the server at half of each one's own highest rate, regular arrivals.

    Ours is the highest rate of an open loop that it sustains; k6's and vegeta's is what they send when they
    are told no rate.
    """
    drivers: dict[str, tuple[Callable[[], float], Callable[[float], Sent]]] = {
        "ours": (
            lambda: Engine(at).highest(CONNECTIONS),
            lambda rate: Engine(at).open(rate, 6, CONNECTIONS),
        )
    }
    if peers:
        drivers["k6"] = (lambda: k6(at, 0, 3).rate, lambda rate: k6(at, rate, 6))
        drivers["vegeta"] = (
            lambda: vegeta(at, 0, 3, CONNECTIONS).rate,
            lambda rate: vegeta(at, rate, 6, CONNECTIONS),
        )
    lags: dict[str, list[float]] = {name: [] for name in drivers}
    rates: dict[str, list[float]] = {name: [] for name in drivers}
    said: list[float] = []
    for _ in range(rounds):
        for name, (fastest, at_rate) in drivers.items():
            at.arrivals()
            half = math.floor(fastest() / 2)
            at.arrivals()
            sent = at_rate(half)
            lags[name].append(lag_of(np.array(at.arrivals()), half))
            rates[name].append(half)
            if sent.lag is not None:
                said.append(1e3 * sent.lag)
    middle = {name: statistics.median(values) for name, values in lags.items()}
    shown = ", ".join(
        f"{name} {middle[name]:.2f} ms at {statistics.median(rates[name]):,.0f}/s" for name in middle
    )
    rows = [
        Row(
            "schedule lag p99 at half of its highest rate, as it says",
            1.0,
            statistics.median(said),
            "ms",
            spread(said),
        )
    ]
    if peers:
        best = min(value for name, value in middle.items() if name != "ours")
        rows.append(
            Row("the same at the server, not above the best peer's", best, middle["ours"], "ms", shown)
        )
    return rows


def lag_of(arrivals: np.ndarray, rate: float) -> float:
    """Return the p99 of how late requests came, in ms, against the regular schedule that fits under them."""
    late = arrivals / 1e6 - 1e3 * np.arange(len(arrivals)) / rate
    return float(np.quantile(late - late.min(), 0.99))


def stall_row(rounds: int) -> Row:
    """p99 where the server does nothing for one second: what an open loop must see can be computed."""
    count = int(STALL_RATE * STALL_SECONDS)
    above = count - math.ceil(0.99 * count)  # requests slower than the p99: the first of the stall
    exact = 1.0 - above / STALL_RATE
    ours, theirs = [], []
    stall = ("--stall-at", "5", "--stall", "1")
    for _ in range(rounds):
        # At the same time, each with a server of its own: both together are a tenth of a core.
        with server(*stall) as at, server(*stall) as other, ThreadPoolExecutor(1) as beside:
            said = beside.submit(locust, other, users=8, seconds=STALL_SECONDS, rate=STALL_RATE)
            ours.append(Engine(at).open(STALL_RATE, STALL_SECONDS, 64).p99)
            theirs.append(said.result().p99)
    off = [100 * abs(value / exact - 1) for value in ours]
    note = (
        f"p99 {1e3 * statistics.median(ours):.0f} ms, exact {1e3 * exact:.0f} ms; "
        f"Locust says {1e3 * statistics.median(theirs):.0f} ms"
    )
    return Row(
        "p99 under a stall of 1 s at 200/s, distance from the exact one",
        2.0,
        statistics.median(off),
        "%",
        note,
    )


def report_rows(rounds: int) -> list[Row]:
    """The report of an hour's run, 1 to 18 replicas: ten million requests; 5,000 requests/s."""
    rows = []
    for rate in (2_778, 5_000):
        with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
            count = long_run(Path(folder), rate)
            took = [report_cost(Path(folder)) for _ in range(rounds if rate < 5_000 else 1)]
        seconds = [each[0] for each in took]
        mebibytes, size = max(each[1] for each in took), took[0][2]
        if rate < 5_000:
            spent = statistics.median(each[3] for each in took)
            note = f"{count:,} requests; {spread(seconds)}; CPU {spent:.2f} s"
            rows += [
                Row("report of a run of ten million requests", 3.0, statistics.median(seconds), "s", note),
                Row("the same, most memory", 300.0, mebibytes, "MiB"),
            ]
        else:
            note = f"{count:,} requests; written in {seconds[0]:.1f} s"
            rows.append(Row("report of an hour at 5,000 requests/s, size", 1.0, size / 1e6, "MB", note))
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
