"""Runs one load generator once, for benchmarks/loadgen.py, and says what it took."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import go_peers

from mlk8s.loadgen.histogram import quantiles
from mlk8s.loadgen.settings import ENGINE_ENVIRONMENT, VARIABLE, Settings
from mlk8s.local.cache import cache_dir

BODY = b'{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'
PATH = "/v2/models/m/infer"
PEERS = Path(__file__).with_name("loadgen_peers")
PACKAGES = {"vegeta": "github.com/tsenart/vegeta/v12", "k6": "go.k6.io/k6", "fortio": "."}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sent:
    """One run: requests, CPU seconds of the processes that sent them, seconds, and what it says of itself."""

    requests: int
    cpu: float
    seconds: float
    p99: float = math.nan
    lag: float | None = None
    most_lag: float = math.inf
    """Lag of which 90 % of the requests have no more; `lag` is that of 99 %. Seconds."""
    busiest: int = 0
    """Requests sent in the second in which they were most."""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def each(self) -> float:
        """CPU microseconds a request."""
        return 1e6 * self.cpu / self.requests


class Server:
    """The server, as a process of its own."""

    def __init__(self, *options: str) -> None:
        file = Path(__file__).with_name("loadgen_server.py")
        self._process = subprocess.Popen([sys.executable, file, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.port = int(self._output.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def arrivals(self) -> list[int]:
        """Return when requests came since the last call, in nanoseconds since the first of them."""
        self._process.send_signal(signal.SIGUSR1)
        found: list[int] = json.loads(self._output.readline())
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._output.close()


class Engine:
    """Ours: the engine by itself; two of them as Locust's workers would start them."""

    def __init__(self, at: Server) -> None:
        self._at = at

    def open(self, rate: float, seconds: float, connections: int, workers: int = 1) -> Sent:
        return self._run([{"hold": seconds, "rps": rate}], seconds, connections, workers)

    def highest(self, connections: int) -> float:
        """The highest rate of an open loop, requests/s, at which it does not fall behind more and more.

        The first rate is what it sends in a second of far too many; lower ones follow until 90 % of three
        seconds' requests are sent within 10 ms; a lag that grows is soon above, one pause of the machine not.
        """
        most = self.open(150_000.0, 2, connections).busiest
        for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4):
            self._at.arrivals()
            sent = self.open(share * most, 3, connections)
            if sent.most_lag <= 0.010:
                return sent.rate
        raise SystemExit("no rate is sustained: not a measurement")

    def closed(self, users: int, seconds: float, workers: int = 1) -> Sent:
        return self._run([{"hold": seconds, "users": users}], seconds, users, workers)

    def _run(self, stages: list[dict[str, Any]], seconds: float, connections: int, workers: int) -> Sent:
        with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
            directory = Path(folder)
            (directory / "body.json").write_bytes(BODY)
            settings = Settings(
                url=self._at.url, path=PATH, name="infer", body="body.json", stages=stages, timeout=10.0,
                connections=connections, allowed=[], parent=0, directory=directory, workers=workers,
            )  # fmt: skip
            environment = os.environ | ENGINE_ENVIRONMENT | {VARIABLE: str(settings.write())}
            started = [
                subprocess.Popen(
                    [sys.executable, "-m", "mlk8s.loadgen", "--share", f"{index}/{workers}"],
                    env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
                for index in range(workers)
            ]  # fmt: skip
            for process in started:
                assert process.stdout is not None
                process.stdout.readline()
            before = sum(_cpu_of(process.pid) for process in started)
            start = math.ceil(time.time() + 0.3)
            for process in started:
                assert process.stdin is not None
                process.stdin.write(f"{start}\n")
                process.stdin.close()
            cpu = sum(_ended(process) for process in started) - before
            return _results(directory, cpu, seconds)


def _results(directory: Path, cpu: float, seconds: float) -> Sent:
    latency: Counter[int] = Counter()
    lag: Counter[int] = Counter()
    each_second: Counter[int] = Counter()
    count = failed = 0
    for file in directory.glob("requests-*.jsonl"):
        for text in file.read_text().splitlines():
            line = json.loads(text)
            if line["kind"] == "load":
                lag.update({int(bucket): number for bucket, number in line["lag"].items()})
                each_second[line["t"]] += line["sent"]
                continue
            count += line["count"]
            failed += line["count"] * (line["outcome"] != "ok")
            latency.update({int(bucket): number for bucket, number in line["hist"].items()})
    if failed or not count:
        raise SystemExit(f"{failed} of {count} requests failed: not a measurement")
    p99, (p90_lag, p99_lag) = quantiles(latency, [0.99])[0], quantiles(lag, [0.90, 0.99])
    most_lag = math.inf if p90_lag is None else p90_lag
    return Sent(count, cpu, seconds, p99 or math.nan, p99_lag, most_lag, max(each_second.values()))


def locust(at: Server, *, users: int, seconds: float, rate: float = 0.0) -> Sent:
    """Locust's own FastHttpUser: in a closed loop, or `rate` requests/s over all users as it paces them."""
    command = [
        sys.executable, "-m", "locust", "--headless", "-f", str(PEERS / "fast_http.py"), "--host", at.url,
        "--users", str(users), "--spawn-rate", "100", "--run-time", f"{seconds:g}s", "--only-summary",
    ]  # fmt: skip
    environment = os.environ | {"RATE": str(rate), "USERS": str(users)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"^PEER (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"Locust: {done.stderr[-2000:]}")
    said = json.loads(found[1])
    return Sent(said["requests"], said["cpu"], seconds, said["p99"])


def wrk(at: Server, connections: int, seconds: float) -> Sent:
    """Debian's wrk with one thread."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    body = json.dumps(BODY.decode())
    script = f'wrk.method = "POST"\nwrk.body = {body}\nwrk.headers["Content-Type"] = "application/json"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", file.name, at.url + PATH]
        output, cpu = _timed(command)
    found = re.search(r"(\d+) requests in ([\d.]+)s", output)
    assert found is not None, output
    return Sent(int(found[1]), cpu, float(found[2]))


def vegeta(at: Server, rate: float, seconds: float, connections: int) -> Sent:
    """vegeta; rate 0 is as fast as its workers go."""
    with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
        (Path(folder) / "body").write_bytes(BODY)
        target = f"POST {at.url}{PATH}\nContent-Type: application/json\n@{folder}/body\n"
        pace = ["-rate", f"{rate:g}"] if rate else ["-rate", "0", "-max-workers", str(connections)]
        command = [
            str(peer("vegeta")), "attack", "-duration", f"{seconds:g}s", "-connections", str(connections),
            "-output", f"{folder}/out", *pace,
        ]  # fmt: skip
        _, cpu = _timed(command, stdin=target)
        said = subprocess.run(
            [str(peer("vegeta")), "report", "-type=json", f"{folder}/out"], capture_output=True
        )
    values = json.loads(said.stdout)
    return Sent(values["requests"], cpu, seconds, values["latencies"]["99th"] / 1e9)


def fortio(at: Server, rate: float, seconds: float, connections: int) -> Sent:
    """fortio's HTTP runner."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(BODY)
        file.flush()
        command = [
            str(peer("fortio")), "-url", at.url + PATH, "-qps", f"{rate:g}", "-seconds", f"{seconds:g}",
            "-connections", str(connections), "-body", file.name,
        ]  # fmt: skip
        output, cpu = _timed(command)
    return Sent(json.loads(output)["requests"], cpu, seconds)


def k6(at: Server, rate: float, seconds: float) -> Sent:
    """k6 with 32 virtual users; rate 0 is as fast as they go."""
    with tempfile.TemporaryDirectory(prefix="mlk8s-bench-") as folder:
        command = [
            str(peer("k6")), "run", "--quiet", "--no-usage-report", "--summary-export", f"{folder}/out.json",
            "--address", "", "-e", f"URL={at.url}{PATH}", "-e", f"RATE={rate:g}" if rate else "RATE=0",
            "-e", f"SECONDS={seconds:g}", str(PEERS / "constant.js"),
        ]  # fmt: skip
        _, cpu = _timed(command)
        said = json.loads((Path(folder) / "out.json").read_text())
    return Sent(said["metrics"]["http_reqs"]["count"], cpu, seconds)


def peer(name: str) -> Path:
    """Build a peer from its pinned module, once."""
    return go_peers.program(name, PACKAGES[name])


def _timed(command: list[str], stdin: str = "") -> tuple[str, float]:
    """Run a command; return its output and its CPU seconds."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(stdin)
    process.stdin.close()
    output = process.stdout.read()
    words = process.stderr.read()
    cpu = _ended(process, words)
    return output, cpu


def _ended(process: subprocess.Popen[str], words: str = "") -> float:
    """Wait for a process and return its CPU seconds."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if process.returncode:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}: {words[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a running process."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / _TICKS


def long_run(directory: Path, rate: int) -> int:
    """Write the directory of a run of an hour at `rate` requests/s, by the recorder itself."""
    import numpy as np
    import orjson

    from mlk8s.loadgen.histogram import Histogram
    from mlk8s.loadgen.recorder import Recorder
    from mlk8s.spec.load import LoadProfile, Slo

    random = np.random.default_rng(5)
    length, start = 3_600, 1_795_000_000
    pods: list[dict[str, str]] = []
    recorder = Recorder(directory / "requests-host-1.jsonl", "m infer", start)
    with (directory / "cluster.jsonl").open("w") as cluster:
        for second in range(length):
            for key, count in ((("ok", 200, "1"), rate - 2), (("http_5xx", 503, "1"), 2)):
                drawn = random.lognormal(math.log(20e6), 0.6, count).astype(int)
                histogram = Histogram()
                for nanoseconds in drawn.tolist():
                    histogram.add(nanoseconds)
                recorder.series[key] = histogram
            for _ in range(rate):
                recorder.lag.add(50_000)
            recorder.end_second(users=64, offered=rate, sent=rate, in_flight=0, waiting=0)
            replicas = 1 + second // 200
            sample = {
                "t": start + second + 0.5,
                "deployment": dict.fromkeys(
                    ("desired", "current", "ready", "updated", "available"), replicas
                ),
                "hpa": {"desired": replicas, "metric": 3.0, "target": 4.0, "name": "requests_in_flight"},
                "usage": {"cpu": 0.3 * replicas, "memory": 1e8 * replicas},
            }
            if second % 200 == 0:
                moment = datetime.fromtimestamp(start + second, UTC).isoformat()
                steps = dict.fromkeys(("created", "scheduled", "started", "ready"), moment)
                pods.append({"name": f"m-{replicas}", **steps})
                sample |= {
                    "pods": pods,
                    "events": [{"at": moment, "reason": "SuccessfulRescale", "message": f"size: {replicas}"}],
                }
            cluster.write(json.dumps(sample) + "\n")
    profile = LoadProfile.constant(rps=rate, hold=length)
    (directory / "profile.json").write_bytes(orjson.dumps(profile.model_dump()))
    facts = {
        "target": {"name": "m", "namespace": "bench", "url": "http://127.0.0.1:8080/bench/m", "model": "s3://models/m/1"},
        "cluster": {"server": "https://127.0.0.1:6443", "context": "bench"},
        "versions": {"mlk8s": "0.1.0"}, "machine": "bench", "slo": Slo(p99="100ms", errors=0.01).model_dump(),
        "settle": 0.0, "started": start, "ended": start + length, "cut": None,
    }  # fmt: skip
    (directory / "facts.json").write_bytes(orjson.dumps(facts))
    return rate * length


@cache
def _compiled() -> dict[str, str]:
    """Return an environment in which what a report imports is compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache_dir() / "bench" / "bytecode")
    code = "import mlk8s.operations.run, mlk8s.report.run, mlk8s.report.plots, mlk8s.report.timeline, jinja2;"
    code += "import matplotlib.figure, matplotlib.backends.backend_agg, matplotlib.colors, PIL.PngImagePlugin"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return environment


def report_cost(directory: Path) -> tuple[float, float, int, float]:
    """Return seconds, MiB of memory, bytes and CPU seconds of a report, made by a process of its own.

    Its modules are compiled before, as pip does when it installs them: where PYTHONDONTWRITEBYTECODE is set,
    each start would compile matplotlib again.
    """
    environment = _compiled()
    code = "import sys; from mlk8s.operations.run import Run; print(Run.open(sys.argv[1]).report())"
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    path = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit("the report failed")
    # ru_maxrss is in KiB on Linux.
    seconds, spent = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    return seconds, usage.ru_maxrss / 1024, Path(path).stat().st_size, spent
