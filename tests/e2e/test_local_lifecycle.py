"""A cluster that is killed in every way comes back with `up`, and `down` leaves the machine as it was."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_tools import connects, wait_for
from machine_facts import facts
from pods import create_pod, pod, python_image, wait_for_pod

from mlk8s.errors import LocalClusterError
from mlk8s.local import cgroups, native, network, registry
from mlk8s.local.handle import Local
from mlk8s.local.namespaces import Namespaces
from mlk8s.local.processes import HOLDER
from mlk8s.local.status import COMPONENTS

NAME, PORT = "mlk8s-life", 18280
UP = (
    "import sys\nfrom mlk8s.local import native\nfrom mlk8s.local.progress import open_progress\n"
    "with open_progress() as p:\n"
    "    native.up(sys.argv[1], port=int(sys.argv[2]), with_platform=False, progress=p, yes=True)\n"
)
Up = Callable[..., Local]


def up_process(name: str, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", UP, name, str(port)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    if os.geteuid() != 0:
        pytest.skip("the native driver needs root")


@pytest.fixture(scope="module")
def up(bare_cluster: Up) -> Callable[[], Local]:
    return lambda: bare_cluster(NAME, port=PORT)


def is_up(local: Local) -> None:
    status = native.status(local.name)
    assert status is not None
    assert status.running, status
    python_image(local)


def test_down_leaves_the_machine_as_it_was() -> None:
    before = facts(NAME)
    local = native.up(NAME, port=PORT, with_platform=False, yes=True)
    is_up(local)
    create_pod(local, "default", pod("one"))
    assert facts(NAME) != before
    assert native.down(NAME)
    after = facts(NAME)
    for fact, value in before.items():
        assert after[fact] == value, fact
    assert native.down(NAME) is False, "there is nothing left to remove"


@pytest.mark.parametrize("component", COMPONENTS)
def test_up_repairs_after_a_kill(up: Callable[[], Local], component: str) -> None:
    local = up()
    process = Namespaces(local.cluster.directory).running()[component]
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.alive())
    status = native.status(NAME)
    assert status is not None
    assert not status.running
    is_up(up())
    create_pod(local, "default", pod(f"after-{component}"))
    local.api().delete(f"/api/v1/namespaces/default/pods/after-{component}")


def test_up_repairs_after_a_kill_of_all(up: Callable[[], Local]) -> None:
    local = up()
    for process in Namespaces(local.cluster.directory).running().values():
        if process.component != HOLDER:
            os.kill(process.pid, signal.SIGKILL)
    is_up(up())


def test_after_a_reboot_pods_and_data_come_back(up: Callable[[], Local]) -> None:
    local = up()
    python_image(local)
    create_pod(local, "default", pod("survivor"))
    started = container_started(local)
    # What a reboot takes: every process and mount, links, routes, tables and control groups. The disk stays.
    Namespaces(local.cluster.directory).close()
    cgroups.remove(local.cluster.cgroup)
    network.disconnect(local.cluster)
    is_up(up())
    # Until it runs again, its status is that of before, with an address that is nobody's now.
    wait_for(lambda: container_started(local) not in ("", started), 180)
    address = wait_for_pod(local, "default", "survivor")
    wait_for(lambda: connects(address, 8000))
    local.api().delete("/api/v1/namespaces/default/pods/survivor")


def container_started(local: Local) -> str:
    status = local.api().get("/api/v1/namespaces/default/pods/survivor")["status"]
    return str(status["containerStatuses"][0]["state"].get("running", {}).get("startedAt", ""))


def test_without_the_veth_nothing_takes_the_default_route(up: Callable[[], Local]) -> None:
    local = up()
    subprocess.run(["ip", "link", "delete", local.cluster.link], check=True)
    for wanted in local.cluster.networks:
        answer = subprocess.run(["ip", "route", "get", str(wanted[2])], capture_output=True, text=True)
        assert "No route to host" in answer.stderr, answer
    is_up(up())


def test_two_ups_at_once_take_turns() -> None:
    first, second = up_process(NAME, PORT), up_process(NAME, PORT)
    words = [process.communicate(timeout=240)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), words
    native.down(NAME)


def test_two_clusters_live_side_by_side(up: Callable[[], Local], bare_cluster: Up) -> None:
    one, two = up(), bare_cluster(f"{NAME}-2", port=PORT + 10)
    is_up(one)
    is_up(two)
    addresses = [create_pod(local, "default", pod("same-name")) for local in (one, two)]
    assert addresses[0] != addresses[1]
    for address in addresses:
        wait_for(lambda address=address: connects(address, 8000))  # type: ignore[misc]
    with pytest.raises(LocalClusterError, match=f"belongs to the local cluster '{NAME}'"):
        native.up(f"{NAME}-3", port=PORT + 1, with_platform=False, yes=True)
    assert registry.find(f"{NAME}-3") is None
    assert not list(registry.state_root().glob(f"{NAME}-3*"))
    native.down(two.name)
    is_up(one)
    wait_for(lambda: connects(addresses[0], 8000))
    one.api().delete("/api/v1/namespaces/default/pods/same-name")


def test_a_port_in_use_is_refused_before_anything_is_made() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalClusterError, match=f"port {port} of 127.0.0.1 is in use"):
            native.up(f"{NAME}-4", port=port, with_platform=False, yes=True)
    assert registry.find(f"{NAME}-4") is None
    assert not (registry.state_root() / f"{NAME}-4").exists()


@pytest.mark.timeout(400)
def test_up_that_is_killed_anywhere_is_continued_by_the_next() -> None:
    native.down(NAME)
    before = facts(NAME)
    dice = random.Random(7)
    for moment in sorted(dice.uniform(0.2, 7) for _ in range(6)):
        process = up_process(NAME, PORT)
        time.sleep(moment)
        process.send_signal(dice.choice((signal.SIGKILL, signal.SIGINT)))
        process.communicate(timeout=120)
    is_up(native.up(NAME, port=PORT, with_platform=False, yes=True))
    native.down(NAME)
    assert facts(NAME) == before


def test_a_full_disk_is_said_and_more_room_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", tmp_path], check=True)
    monkeypatch.setenv("MLK8S_STATE", str(tmp_path))
    name = f"{NAME}-full"
    try:
        with pytest.raises(LocalClusterError) as caught:
            native.up(name, port=PORT + 20, with_platform=False, yes=True)
        assert "no space left" in str(caught.value).lower()
        assert "free some disk space" in str(caught.value)
        subprocess.run(["mount", "-o", "remount,size=1g", tmp_path], check=True)
        local = native.up(name, port=PORT + 20, with_platform=False, yes=True)
        status = native.status(name)
        assert status is not None
        assert status.running
        assert local.kubeconfig.exists()
    finally:
        native.down(name)
        # What was killed a moment ago may still hold a file there.
        wait_for(lambda: subprocess.run(["umount", tmp_path], capture_output=True).returncode == 0)
