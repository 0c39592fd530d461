"""The load generator for real: Locust as a process against an HTTP server process on 127.0.0.1."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlk8s.clients.locust import LocustProcess
from mlk8s.errors import UsageError
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.loadgen.settings import VARIABLE, Settings
from mlk8s.loadgen.tail import read_lines
from mlk8s.report.results import Results
from mlk8s.spec.load import LoadProfile

BODY = b'{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'


@dataclass
class Started:
    """A load test under way; all of them run at the same time, since each mostly waits."""

    process: LocustProcess
    directory: Path

    @property
    def results(self) -> Results:
        return Results.read(self.directory)

    def wait(self, seconds: float = 180.0) -> None:
        end = time.monotonic() + seconds
        while self.process.running() and time.monotonic() < end:
            time.sleep(0.1)
        assert not self.process.running(), self.process.last_words()

    def wait_for_lines(self, seconds_of_load: int) -> None:
        wait_until(lambda: len(self.results.load) >= seconds_of_load)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("v2server.py"))], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.terminate()
    process.wait(5)
    process.stdout.close()


@pytest.fixture(scope="module")
def tests(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    cases: dict[str, tuple[str, str, list[dict[str, Any]], dict[str, Any]]] = {
        "steps": (server, "/steady/infer", [{"hold": 3, "rps": 20}, {"hold": 3, "rps": 60}], {}),
        "mixed": (server, "/mixed/infer", [{"hold": 4, "rps": 8}], {"connections": 16}),
        "nothing": ("http://127.0.0.1:9", "/x/infer", [{"hold": 2, "rps": 10}], {}),
        "closed": (server, "/steady/infer", [{"hold": 4, "users": 2}], {}),
        "kill": (server, "/right/infer", [{"hold": 60, "rps": 20}], {}),
        "stop": (server, "/steady/infer", [{"hold": 60, "rps": 20}], {}),
        "few": (server, "/steady/infer", [{"hold": 2, "rps": 100}], {"connections": 1, "timeout": 0.5}),
        "random": (server, "/right/infer", [{"hold": 3, "rps": 40}], {"seed": 7, "workers": 2}),
        "failing": (server, "/error/infer", [{"hold": 60, "rps": 100}], {"stop_above": 0.5}),
    }
    started = {}
    try:
        for name, (url, path, stages, changes) in cases.items():
            directory = tmp_path_factory.mktemp(name)
            started[name] = Started(
                LocustProcess(settings(directory, url, path, stages, **changes)), directory
            )
        yield started
    finally:
        for case in started.values():
            case.process.stop()


def settings(directory: Path, url: str, path: str, stages: list[dict[str, Any]], **changes: Any) -> Settings:
    (directory / "body.json").write_bytes(BODY)
    values: dict[str, Any] = {
        "url": url, "path": path, "name": "m infer", "body": "body.json", "stages": stages, "timeout": 2.0,
        "connections": 64, "allowed": [], "parent": os.getpid(), "directory": directory,
    }  # fmt: skip
    return Settings(**(values | changes))


def wait_until(done: Callable[[], bool], seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.1)
    assert done()


def test_a_kill_loses_at_most_the_running_second(tests: dict[str, Started]) -> None:
    case = tests["kill"]
    case.wait_for_lines(3)
    killed = time.time()
    os.kill(case.process.pid, signal.SIGKILL)
    case.wait()
    assert case.process.exit_code == -signal.SIGKILL
    results = case.results
    assert max(results.load) >= int(killed) - 2
    assert results.between(0, 1e12).ok >= 20 * (len(results.load) - 1)


def test_stop_lets_requests_in_flight_end(tests: dict[str, Started]) -> None:
    case = tests["stop"]
    case.wait_for_lines(2)
    began = time.monotonic()
    case.process.stop()
    assert time.monotonic() - began < 8
    assert case.process.exit_code == 0, case.process.last_words()
    results = case.results
    assert sum(load["sent"] for load in results.load.values()) == results.between(0, 1e12).total


def test_it_stops_when_the_process_that_started_it_is_gone(tmp_path: Path, server: str) -> None:
    made = settings(tmp_path, server, "/right/infer", [{"hold": 120, "rps": 20}])
    program = (
        "import os, sys; from pathlib import Path; from mlk8s.clients.locust import LocustProcess;"
        "from mlk8s.loadgen.settings import Settings;"
        "s = Settings.read(); s = Settings(**{**vars(s), 'parent': os.getpid()});"
        "print(LocustProcess(s).pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
        env={**os.environ, VARIABLE: str(made.write())},
    )  # fmt: skip
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: len(Results.read(tmp_path).load) >= 2)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not _alive(pid))
    assert "is gone" in (tmp_path / "locust.log").read_text()


def test_the_rate_of_each_stage_is_reached(tests: dict[str, Started]) -> None:
    case = tests["steps"]
    case.wait()
    assert case.process.exit_code == 0, case.process.last_words()
    results = case.results
    seconds = sorted(results.load)
    assert [results.load[second]["offered"] for second in seconds[:6]] == pytest.approx([20] * 3 + [60] * 3)
    sent = [results.load[second]["sent"] for second in seconds]
    assert sum(sent) == 240
    assert sum(sent[:3]) == pytest.approx(60, abs=6)
    total = results.between(0, 1e12)
    assert total.outcomes == {"ok": 240}
    assert total.versions == {"7": 240}
    median = total.percentiles()["p50"]
    assert median is not None and 0.0195 < median < 0.1  # the server sleeps for 20 ms


def test_errors_are_told_apart_and_no_redirect_is_followed(tests: dict[str, Started]) -> None:
    tests["mixed"].wait()
    outcomes = tests["mixed"].results.between(0, 1e12).outcomes
    assert outcomes == {
        "ok": 8, "http_5xx": 4, "http_4xx": 4, "http_other": 4, "wrong_answer": 4, "connection": 4,
        "timeout": 4,
    }  # fmt: skip


def test_what_no_connection_was_free_for_is_shed_and_counted(tests: dict[str, Started]) -> None:
    tests["few"].wait()
    results = tests["few"].results
    total = results.between(0, 1e12)
    assert "shed" in total.outcomes, total.outcomes
    assert set(total.outcomes) <= {"ok", "timeout", "shed"}
    assert total.total == sum(load["offered"] for load in results.load.values()) == 200
    # One connection, 20 ms a request: those that were answered had waited up to their time-out
    slowest = total.percentiles()["p99"]
    assert slowest is not None and slowest > 0.3


def test_a_worker_that_dies_neither_ends_nor_holds_up_the_others(server: str, tmp_path: Path) -> None:
    asked = settings(tmp_path, server, "/right/infer", [{"hold": 8, "rps": 40}], workers=2)
    test = Started(LocustProcess(asked), tmp_path)
    test.wait_for_lines(2)
    wait_until(lambda: len(list(test.directory.glob("requests-*.jsonl"))) == 2)
    lost, other = test.directory.glob("requests-*.jsonl")
    engine = int(lost.stem.rpartition("-")[2])
    status = Path(f"/proc/{engine}/status").read_text()
    os.kill(
        int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL
    )  # Locust's worker; its engine follows
    test.wait()
    assert test.process.exit_code == 0
    sent = [
        sum(line["sent"] for line in read_lines(file) if line["kind"] == "load") for file in (lost, other)
    ]
    assert 0 < sent[0] < 160
    assert sent[1] == 160
    assert len(list(test.directory.glob("requests-*.jsonl"))) == 2


def test_workers_share_random_arrivals(tests: dict[str, Started]) -> None:
    case = tests["random"]
    case.wait()
    assert case.process.exit_code == 0, case.process.last_words()
    profile = Profile([{"hold": 3, "rps": 40}])
    due = Arrivals(profile, seed=7).before(3.0).tolist()
    offered = {second: load["offered"] for second, load in case.results.load.items()}
    start = min(offered)
    assert [offered[start + k] for k in range(3)] == [sum(int(t) == k for t in due) for k in range(3)]
    assert case.results.between(0, 1e12).outcomes == {"ok": len(due)}
    files = list(case.directory.glob("requests-*.jsonl"))
    assert len(files) == 2
    # Locust's own table has the same numbers
    assert re.search(rf"Aggregated +{len(due)} ", (case.directory / "locust.log").read_text())


def test_a_test_that_only_does_harm_stops_itself(tests: dict[str, Started]) -> None:
    case = tests["failing"]
    case.wait()
    assert case.process.exit_code == 1
    assert "the bound is 0.5" in case.process.last_words(20)
    assert len(case.results.load) < 20
    (samples,) = case.directory.glob("samples-*.jsonl")
    kept = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [(line["outcome"], line["status"]) for line in kept] == [("http_5xx", 503)], "all are the same"
    assert kept[0]["body"] == '{"error": "no"}'


def test_nothing_listens(tests: dict[str, Started]) -> None:
    tests["nothing"].wait()
    assert tests["nothing"].process.exit_code == 0
    assert tests["nothing"].results.between(0, 1e12).outcomes == {"connection": 20}


def test_a_closed_loop_has_as_many_requests_in_flight_as_users(tests: dict[str, Started]) -> None:
    tests["closed"].wait()
    results = tests["closed"].results
    middle = sorted(results.load)[1:3]
    assert [results.load[second]["users"] for second in middle] == [2, 2]
    # 2 users with 20 ms a request send at most 100/s; a loaded machine sends fewer, but never more
    assert all(1 <= results.load[second]["sent"] <= 102 for second in middle)


def test_a_foreign_host_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"load is not sent to 192\.0\.2\.1"):
        LocustProcess(settings(tmp_path, "http://192.0.2.1", "/x/infer", [{"hold": 1, "rps": 1}]))
    assert not (tmp_path / "locust.log").exists()


def test_the_process_that_sends_refuses_too(tmp_path: Path) -> None:
    made = settings(tmp_path, "http://192.0.2.1", "/x/infer", [{"hold": 1, "rps": 1}])
    file = Path(sys.modules[Settings.__module__].__file__ or "").with_name("locustfile.py")
    ended = subprocess.run(
        [sys.executable, "-m", "locust", "--headless", "--locustfile", str(file)],
        env={**os.environ, VARIABLE: str(made.write())}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "load is not sent to 192.0.2.1" in ended.stdout + ended.stderr
    assert not list(tmp_path.glob("requests-*"))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_locust_file_to_copy_runs(tmp_path: Path, server: str) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(BODY)
    root = Path(__file__).parents[2]
    command = [
        sys.executable, "-m", "locust", "--headless", "--users", "2", "--run-time", "6s", "--only-summary",
        "--locustfile", str(root / "loadtests" / "v2_infer.py"), "--host", f"{server}/right/m", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "BODY": str(body), "PYTHONPATH": str(root)}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    counts = {row["name"]: (row["num_requests"], row["num_failures"]) for row in json.loads(ended.stdout)}
    # How many is the machine's affair: Locust counts its own start as running time.
    assert counts["infer"][0] >= 1 and counts["infer"][1] == 0


@pytest.mark.parametrize("name", ["steps", "ramp", "users"])
def test_the_profiles_to_copy_are_valid(name: str) -> None:
    text = (Path(__file__).parents[2] / "loadtests" / f"{name}.yaml").read_text()
    assert LoadProfile(**yaml.safe_load(text)).duration > 60
