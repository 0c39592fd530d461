"""Load tests that are sent by pods: what they measure, what is told when one of them dies, what is left.

The test whose process is killed comes first: while the others run, its pods end by themselves.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_tools import wait_for
from load_results import answered
from onnx_models import ROW, slow

import mlk8s
from mlk8s.errors import LoadTestError, UsageError
from mlk8s.loadgen.tail import read_lines
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.run import Run
from mlk8s.operations.service import Service
from mlk8s.storage.models import upload_model

ROWS = np.asarray(ROW, np.float32).reshape(1, -1)
TWO = mlk8s.Workers(count=2, resources=mlk8s.Resources(cpu="50m", cpu_limit="2", memory="384Mi"))
LONG = mlk8s.LoadProfile.constant(rps=10, hold="5m")
_LEASE = 10


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    found = mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    found.cluster.patch("Namespace", namespace, labels)
    return found


@pytest.fixture(scope="module")
def service(k8s: Kubernetes) -> Iterator[Service]:
    model = upload_model(slow(1), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    small = mlk8s.Resources(cpu="50m", cpu_limit="300m", memory="256Mi")
    deployed = k8s.deploy(mlk8s.ModelService(name="loaded", model=model.url, replicas=1, resources=small))
    yield deployed
    deployed.delete()


@pytest.fixture(scope="module")
def killed(k8s: Kubernetes, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a load test whose process was killed while its pods sent."""
    directory = tmp_path_factory.mktemp("killed") / "run"
    program = (
        "import mlk8s, sys; from mlk8s.operations import cluster_load;"
        f"cluster_load.LEASE = {_LEASE};"
        "k8s = mlk8s.connect(kubeconfig=sys.argv[1], namespace=sys.argv[2]);"
        "workers = mlk8s.Workers(count=1, resources=mlk8s.Resources(cpu='50m', memory='384Mi'));"
        "k8s.service('loaded').loadtest(mlk8s.LoadProfile.constant(rps=10, hold='5m'),"
        " inputs=[eval(sys.argv[3])], directory=sys.argv[4], workers=workers)"
    )
    arguments = [str(k8s.cluster.source), service.namespace, repr(ROWS[0].tolist()), str(directory)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: answered(directory) >= 10, 240)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return directory


def test_what_a_killed_process_had_pulled_is_there(killed: Path) -> None:
    run = Run.open(killed)
    assert run.partial == "the load test was killed, or still runs"
    assert run.summary.total.ok >= 10
    assert "PARTIAL RESULTS" in repr(run)


def test_two_workers_send_one_schedule_together(k8s: Kubernetes, service: Service, tmp_path: Path) -> None:
    said, others = list[str](), killed_test(k8s)
    profile = mlk8s.LoadProfile.steps(rps=[20, 60], hold="8s", timeout="60s")
    run = service.loadtest(profile, inputs=ROWS, directory=tmp_path / "run", workers=TWO, say=said.append)
    total = run.summary.total
    assert run.partial is None
    assert run.lost == []
    assert (total.total, total.ok) == (640, 640)
    assert [round(stage.sent_rps / 20) for stage in run.summary.stages] == [1, 3]
    each = [sent(file) for file in files(tmp_path / "run")]
    assert each == [320, 320]
    assert "from 2 pods through http://traefik.mlk8s-system.svc:80" in said[0]
    assert "2 pods in the cluster" in run.report().read_text()
    assert "workers=2" in run.report().read_text()
    assert (tmp_path / "run/locust.log").read_text().count("reported as ready") == 2
    assert left(k8s, but=others) == []


def test_a_deleted_worker_is_told_and_the_other_goes_on(
    k8s: Kubernetes, service: Service, tmp_path: Path
) -> None:
    directory, said = tmp_path / "run", list[str]()
    others = killed_test(k8s)

    def delete() -> None:
        wait_for(lambda: [sent(file) >= 10 for file in files(directory)] == [True, True])
        (pod,) = (name for name in pods(k8s, others) if "-1-" in name.removeprefix("loaded-load"))
        k8s.cluster.delete("Pod", pod, k8s.namespace, grace_seconds=0)

    threading.Thread(target=delete).start()
    profile = mlk8s.LoadProfile.constant(rps=20, hold="30s")  # long enough to see the first lines and act
    run = service.loadtest(profile, inputs=ROWS, directory=directory, workers=TWO, say=said.append)
    assert run.partial is None
    (lost,) = run.lost
    assert (lost.worker, lost.of, lost.why) == (2, 2, "its pod was deleted")
    assert "worker 2 of 2: its pod was deleted; half of the load is missing" in said
    text = repr(run)
    assert "worker 2 of 2 died at " in text
    assert "half of the load is missing from then on" in text
    assert str(lost) in run.report().read_text()
    first, second = files(directory)
    assert sent(first) == 300
    assert 10 <= sent(second) < 300
    assert left(k8s, but=others) == []


def test_a_deleted_master_ends_the_test_in_one_sentence(
    k8s: Kubernetes, service: Service, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    others = killed_test(k8s)

    def delete() -> None:
        wait_for(lambda: answered(directory) >= 10)
        (pod,) = (name for name in pods(k8s, others) if "-master-" in name)
        k8s.cluster.delete("Pod", pod, k8s.namespace, grace_seconds=0)

    threading.Thread(target=delete).start()
    with pytest.raises(LoadTestError, match="master was deleted, so the workers were stopped") as told:
        service.loadtest(LONG, inputs=ROWS, directory=directory, workers=TWO)
    assert "mlk8s.Run.open" in str(told.value)
    run = Run.open(directory)
    assert run.partial is not None
    assert run.summary.total.ok >= 10
    assert run.lost == []
    assert left(k8s, but=others) == []


def test_workers_for_which_there_is_no_node_leave_nothing(
    k8s: Kubernetes, service: Service, tmp_path: Path
) -> None:
    others = killed_test(k8s)
    huge = mlk8s.Workers(count=1, resources=mlk8s.Resources(cpu="500", cpu_limit=None))
    with pytest.raises(LoadTestError, match=r"do not start: no node takes the pod: .*Insufficient cpu"):
        service.loadtest(LONG, inputs=ROWS, directory=tmp_path / "run", workers=huge)
    assert left(k8s, but=others) == []
    with pytest.raises(UsageError, match="workers and processes are both given"):
        service.loadtest(LONG, inputs=ROWS, directory=tmp_path / "other", workers=1, processes=2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_was_full_for_a_time_costs_no_result(service: Service, small_disk: Path) -> None:
    directory, said = small_disk / "run", list[str]()

    def fill() -> None:
        wait_for(lambda: answered(directory) >= 20)
        with (small_disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        wait_for(lambda: any("is full" in line for line in said))
        time.sleep(2)
        (small_disk / "filler").unlink()

    filler = threading.Thread(target=fill)
    filler.start()
    # Long enough to be full and empty in it.
    profile = mlk8s.LoadProfile.constant(rps=20, hold="20s", timeout="60s")
    run = service.loadtest(profile, inputs=ROWS, directory=directory, say=said.append, workers=TWO)
    filler.join()
    assert any("results wait in memory" in line for line in said)
    assert any("has room again" in line for line in said)
    assert (run.partial, run.summary.total.ok, run.lost) == (None, 400, [])


def test_a_disk_that_stays_full_is_an_error_and_corrupts_nothing(service: Service, small_disk: Path) -> None:
    directory = small_disk / "run"

    def fill() -> None:
        wait_for(lambda: answered(directory) >= 20)
        with (small_disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass

    filler = threading.Thread(target=fill)
    filler.start()
    profile = mlk8s.LoadProfile.constant(rps=20, hold="10s")
    with pytest.raises(LoadTestError, match=r"(?i)no space left on device|disk is full"):
        service.loadtest(profile, inputs=ROWS, directory=directory)
    filler.join()
    run = Run.open(directory)
    assert run.partial is not None
    assert 20 <= run.summary.total.ok < 200
    assert not list(directory.glob(".*"))


def test_the_pods_of_a_killed_process_ended_by_themselves(k8s: Kubernetes, killed: Path) -> None:
    """Within its lease, and the next load test removes what is left."""
    wait_for(lambda: not [pod for pod in k8s.cluster.list("Pod") if runs(pod)], _LEASE + 80)
    from mlk8s.operations.cluster_load import sweep

    def swept() -> bool:
        sweep(
            k8s.cluster, k8s.namespace, "loaded"
        )  # of a Job that is Failed, which it is after its pods' end
        return left(k8s) == []

    wait_for(swept)


def files(directory: Path) -> list[Path]:
    """The results of each worker, in the order of their numbers."""
    return sorted(directory.glob("requests-*.jsonl"))


def sent(file: Path) -> int:
    return sum(line["sent"] for line in read_lines(file) if line["kind"] == "load")


def runs(pod: dict[str, Any]) -> bool:
    return is_load(pod) and pod["status"]["phase"] in ("Pending", "Running")


def is_load(item: dict[str, Any]) -> bool:
    return "load-test-of" in str(item["metadata"].get("labels"))


def killed_test(k8s: Kubernetes) -> set[str]:
    """Names of what the killed process has left so far."""
    return set(left(k8s))


def pods(k8s: Kubernetes, but: Set[str]) -> list[str]:
    names = [item["metadata"]["name"] for item in k8s.cluster.list("Pod") if is_load(item)]
    return [name for name in names if f"Pod {name}" not in but]


def left(k8s: Kubernetes, but: Set[str] = frozenset()) -> list[str]:
    """Objects of load tests in the namespace."""
    kinds = ("Job", "Pod", "ConfigMap", "Service", "NetworkPolicy")
    found = [
        f"{kind} {item['metadata']['name']}"
        for kind in kinds
        for item in k8s.cluster.list(kind)
        if is_load(item)
    ]
    return [name for name in found if name not in but]
