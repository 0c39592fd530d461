"""What goes on in a service on the real cluster: events, logs, a command in a pod, a forwarded port."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import scaling

import mlk8s
from mlk8s.errors import NotFound, StorageError, UsageError, WaitTimeout
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.inspect import ready_pods
from mlk8s.operations.logs import LogLine
from mlk8s.operations.service import Service
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model
from tests.cli.shell import mlk8s as mlk8s_command

NAME = "open"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def service(k8s: Kubernetes) -> Iterator[Service]:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    deployed = k8s.deploy(
        mlk8s.ModelService(
            name=NAME,
            model=model,
            replicas=2,
            startup_timeout=60,
            request_timeout=1,
            resources=Resources(cpu="50m", cpu_limit=None, memory="128Mi"),
        )
    )
    yield deployed
    deployed.delete()


def python(code: str) -> list[str]:
    return ["python3", "-c", code]


def test_a_command_has_its_input_its_output_and_its_exit_code(k8s: Kubernetes, service: Service) -> None:
    done = service.exec(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (done.stdout, done.stderr, done.exit_code, done.truncated) == ("out\n", "err\n", 3, False)
    big = b"x" * 3_000_000
    copy = python("import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)")
    assert service.exec(copy, stdin=big).stdout == big.decode()
    assert service.exec(python("print('a' * 20_000_000)")).truncated
    with pytest.raises(UsageError, match='"nosuch": executable file not found'):
        service.exec(["nosuch"])
    with pytest.raises(WaitTimeout, match="still runs after 1 s"):
        service.exec(python("import time; time.sleep(20)"), timeout=1)
    with pytest.raises(NotFound, match="has no pod 'else'"):
        service.exec(["true"], pod="else")
    place = ("--kubeconfig", k8s.cluster.source, "-n", k8s.namespace)
    shell = mlk8s_command("exec", NAME, *place, "--", *python("import sys; print(6 * 7); sys.exit(9)"))
    assert (shell.stdout, shell.returncode) == ("42\n", 9), shell.stderr


def test_what_is_mixed_up_is_told_with_the_next_step(k8s: Kubernetes, service: Service) -> None:
    with pytest.raises(NotFound) as elsewhere:
        k8s.service(NAME, "default")
    assert f"it is in namespace {k8s.namespace}" in str(elsewhere.value.next_step)
    given: Any = mlk8s.StatefulSet(name="db", containers=mlk8s.Container("db", "registry.example.com/db:1"))
    with pytest.raises(UsageError, match="deploy: a StatefulSet is given") as other:
        k8s.deploy(given)
    assert "any other: `apply`" in str(other.value.next_step)
    plain: Any = {"kind": "Pod"}
    with pytest.raises(UsageError, match="apply: a dict is given"):
        k8s.apply(plain)
    with pytest.raises(StorageError, match="There is no version '1'") as bucket:
        k8s.deploy(mlk8s.ModelService(name="typo", model="s3://modells/iris/1"))
    assert "whether the address is right" in str(bucket.value.next_step)
    with pytest.raises(NotFound, match="there is no StorageClass 'fast'") as fast:
        k8s.apply(mlk8s.Volume(name="disk", size="1Gi", storage_class="fast"))
    assert "mlk8s-local" in str(fast.value.expected)
    ca = mlk8s.CaFile(config_map="authority")
    with pytest.raises(NotFound, match="ConfigMap 'authority' of model_ca is not there"):
        k8s.deploy(mlk8s.ModelService(name="ca", model="https://files.example.com/iris/1", model_ca=ca))
    silent = mlk8s_command(
        "logs", NAME, "--kubeconfig", k8s.cluster.source, "-n", k8s.namespace, "--tail", "0"
    )
    assert silent.stdout == "" and f"no such line of {NAME}" in silent.stderr


def test_events_and_logs_of_all_pods_are_in_order(k8s: Kubernetes, service: Service) -> None:
    def kinds() -> set[str]:
        return {event.object.partition("/")[0] for event in service.events()}

    wait_for(lambda: kinds() >= {"Deployment", "ReplicaSet", "Pod"})  # events come after what they tell of
    events = service.events()
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert all(re.fullmatch(r"[\d-]+T[\d:]{8}Z", event.time) for event in events), events
    lines = list(service.logs())
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    assert {line.container for line in lines} == {"fetch-model", "server"}
    assert len({line.pod for line in lines}) == 2
    assert len(list(service.logs(container="server", tail=1))) == 2
    with pytest.raises(NotFound, match="container 'else'"):
        service.logs(container="else")
    place = ("--kubeconfig", k8s.cluster.source, "-n", k8s.namespace)
    assert '"event":"ready"' in mlk8s_command("logs", NAME, "--tail", "1", *place).stdout
    assert "Scheduled" in mlk8s_command("events", NAME, *place).stdout


def test_a_followed_log_and_a_forwarded_port_outlive_restarts_and_pods(
    k8s: Kubernetes, service: Service
) -> None:
    seen: list[LogLine] = []
    following = service.logs(follow=True, tail=0)
    threading.Thread(target=lambda: seen.extend(following), daemon=True).start()

    def told(pod: str) -> list[str]:
        return [line.text for line in seen if line.pod == pod and '"event":"ready"' in line.text]

    def is_back(pod: str) -> bool:
        (server,) = k8s.cluster.get("Pod", pod)["status"]["containerStatuses"]
        return bool(server["restartCount"] == 1 and server["ready"])

    def heard(pod: str) -> bool:
        service.exec(python("open('/proc/1/fd/1', 'w').write('anybody there?\\n')"), pod=pod)
        return any(line.pod == pod and "anybody there?" in line.text for line in seen)

    first, second = ready_pods(k8s.cluster, NAME, k8s.namespace)
    wait_for(lambda: heard(first) and heard(second))  # from now on no line is missed
    with service.port_forward() as forward:
        path = f"{forward.url}/{k8s.namespace}/{NAME}/v2/health/ready"
        assert urllib.request.urlopen(path, timeout=30).status == 200
        service.exec(python("import os; os.kill(1, 15)"), pod=second)
        wait_for(lambda: told(second))  # its container has started again
        wait_for(lambda: is_back(second))  # the kubelet sees it at its next probe

        k8s.cluster.delete("Pod", first, grace_seconds=1)
        wait_for(lambda: any(line.pod not in (first, second) for line in seen))  # a pod that came later
        assert urllib.request.urlopen(path, timeout=30).status == 200
    with pytest.raises(OSError):
        urllib.request.urlopen(path, timeout=2)
