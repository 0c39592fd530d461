"""The command line on the real cluster: every verb once, and what a user can do wrong with one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from e2e_tools import kubeconfig_of_service_account, wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.operations.connection import Kubernetes
from mlk8s.storage.models import upload_model

Cli = Callable[..., subprocess.CompletedProcess[str]]
DATA = json.dumps([ROW])
SMALL = ("--replicas", "1", "--cpu", "50m", "--memory", "192Mi")


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def model(k8s: Kubernetes) -> str:
    """Root of two versions: 1 doubles, 2 triples."""
    root = f"s3://models/{k8s.namespace}"
    for version, factor in (("1", 2.0), ("2", 3.0)):
        upload_model(scaling(factor), f"{root}/{version}", config=k8s.storage())
    return root


@pytest.fixture(scope="module")
def cli(local_cluster: Any, k8s: Kubernetes) -> Cli:
    """Run `mlk8s ARGUMENTS` on the run's cluster, in the module's namespace unless told otherwise."""

    def run(
        *arguments: str, code: int = 0, kubeconfig: Path | None = None, namespace: str | None = None,
        cwd: Path | None = None, stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        place = [
            "-n",
            namespace or k8s.namespace,
            "--kubeconfig",
            str(kubeconfig or local_cluster.kubeconfig),
        ]
        command = [sys.executable, "-m", "mlk8s", *arguments, *place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd, input=stdin)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def service(cli: Cli, model: str) -> Iterator[str]:
    """A deployed service of version 1."""
    done = cli("deploy", "scale", "--model", f"{model}/1", *SMALL)
    assert done.stdout.strip().endswith("/scale"), "stdout has more than the URL"
    assert done.stderr.startswith("context mlk8s-"), "the target cluster is not named first"
    assert "1 of 1 pods ready" in done.stderr
    yield "scale"
    assert "objects deleted" in cli("delete", "scale").stderr
    assert "no model service" in cli("delete", "scale", code=1).stderr


def version(cli: Cli, service: str) -> str:
    """The version that answers; after a rollout, pods that end do so for a moment longer."""
    return str(json.loads(cli("predict", service, "--data", DATA).stdout)["model_version"])


def test_predict_services_and_undo(cli: Cli, service: str, model: str, tmp_path: Path) -> None:
    answer = json.loads(cli("predict", service, "--data", DATA).stdout)
    assert answer["outputs"]["y"] == [[2 * x for x in ROW]] and answer["model_version"] == "1"
    (tmp_path / "rows.json").write_text(DATA)
    assert cli("predict", service, "--data", f"@{tmp_path}/rows.json").stdout
    assert (
        json.loads(cli("predict", service, "--data", "-", stdin=DATA).stdout)["outputs"] == answer["outputs"]
    )
    assert "4" in cli("predict", service, "--data", "[[1, 2]]", code=2).stderr
    (listed,) = json.loads(cli("services", "-o", "json").stdout)
    assert (listed["name"], listed["ready"], listed["model"]) == (service, 1, f"{model}/1")
    assert cli("services").stdout.splitlines()[0].split() == ["NAME", "MODEL", "READY", "URL"]
    cli("deploy", service, "--model", f"{model}/2", *SMALL)
    assert f"back to revision 1, {model}/1" in cli("undo", service).stderr
    wait_for(lambda: version(cli, service) == "1")


def test_canary(cli: Cli, service: str, model: str) -> None:
    start = ("canary", "start", service, "--model", f"{model}/2", "--weight", "30", "--header", "X-Canary")
    assert "30 % of the requests" in cli(*start).stdout
    assert "mlk8s canary promote" in cli("deploy", service, "--model", f"{model}/2", code=1).stderr
    headed = cli("predict", service, "--data", DATA, "-H", "X-Canary: always")
    assert json.loads(headed.stdout)["model_version"] == "2"
    assert json.loads(cli("canary", "weight", service, "60", "-o", "json").stdout)["weight"] == 60
    assert "running" in cli("canary", "status", service).stdout
    cli("canary", "rollback", service)
    assert json.loads(cli("canary", "status", service, "-o", "json").stdout)["phase"] == "none"
    assert "no canary" in cli("canary", "promote", service, code=2).stderr
    cli(*start)
    cli("canary", "promote", service)
    wait_for(lambda: version(cli, service) == "2")
    cli("undo", service)


def test_load_test_and_report(cli: Cli, service: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    load = ("loadtest", service, "--data", DATA, "--steps", "5,10", "--hold", "3s", "--out", str(out))
    kept = json.loads(cli(*load, "--slo-p50", "5s", "--slo-errors", "0.01", "-o", "json").stdout)
    assert kept["verdict"] == "held" and [stage["load"] for stage in kept["stages"]]
    done = subprocess.run(
        [sys.executable, "-m", "mlk8s", "report", str(out)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0 and Path(done.stdout.strip()).stat().st_size > 10_000
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").touch()
    assert "other files" in cli(*load[:-1], str(tmp_path / "used"), code=2).stderr
    broken = ("loadtest", service, "--data", DATA, "--steps", "5", "--hold", "3s", "--slo-p50", "0.01ms")
    assert "broken" in cli(*broken, cwd=tmp_path, code=1).stdout


def test_pipelines_and_a_file_of_several_documents(
    cli: Cli, k8s: Kubernetes, model: str, tmp_path: Path
) -> None:
    (tmp_path / "features.py").write_text("def build(n=3):\n    return {'x': [float(i) for i in range(n)]}\n")
    output = f"s3://features/{k8s.namespace}"
    once = ("job", "run", "once", "--source", "features.py", "--to", output, "-p", "n=5", "-o", "json")
    assert json.loads(cli(*once, cwd=tmp_path).stdout)["rows"] == 5
    small = {"cpu": "50m", "memory": "256Mi"}
    documents = [
        {
            "apiVersion": "mlk8s.dev/v1",
            "kind": "FeatureCronJob",
            "metadata": {"name": "nightly"},
            "spec": {
                "schedule": "15 3 1 1 *",
                "job": {"source": "features.py", "output": output, "resources": small},
            },
        },
        {
            "apiVersion": "mlk8s.dev/v1",
            "kind": "ModelService",
            "metadata": {"name": "filed", "namespace": k8s.namespace},
            "spec": {"model": f"{model}/1", "replicas": 1, "resources": small},
        },
    ]
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    planned = cli("deploy", "-f", str(file), "--dry-run", "client")
    kinds = [item["kind"] for item in yaml.safe_load_all(planned.stdout)]
    assert {"CronJob", "Deployment", "Ingress"} <= set(kinds)
    checked = cli("deploy", "-f", str(file), "--dry-run", "server")
    assert f"Deployment {k8s.namespace}/filed: accepted" in checked.stderr
    assert k8s.cluster.find("Deployment", "filed") is None, "a dry run made something"
    assert cli("deploy", "-f", str(file)).stdout.strip().endswith("/filed")
    assert json.loads(cli("cron", "trigger", "nightly", "-o", "json").stdout)["rows"] == 3
    cli("delete", "filed")
    k8s.cluster.delete("CronJob", "nightly")


def test_a_namespace_that_is_not_there_lists_some(cli: Cli, model: str) -> None:
    for arguments in (("services",), ("deploy", "a", "--model", f"{model}/1"), ("predict", "a", "-d", "[]")):
        message = cli(*arguments, namespace="nowhere", code=1).stderr
        assert "'nowhere' is not there" in message and "kube-system" in message


def test_a_service_that_is_not_there_lists_those_that_are(cli: Cli, service: str) -> None:
    for arguments in (("predict", "scal", "-d", "[]"), ("undo", "scal"), ("canary", "status", "scal")):
        assert f"one of: {service}" in cli(*arguments, code=1).stderr


def test_expired_credentials_are_5(cli: Cli, local_cluster: Any, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(local_cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    for arguments in (("services",), ("doctor",), ("deploy", "a", "--model", "s3://models/a/1")):
        message = cli(*arguments, kubeconfig=tmp_path / "config", code=5).stderr
        assert "401" in message and "renew" in message


def test_a_missing_permission_is_5_and_names_it(
    cli: Cli, local_cluster: Any, k8s: Kubernetes, model: str, tmp_path: Path
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    few = kubeconfig_of_service_account(local_cluster, k8s.cluster, "few-rights", rules, tmp_path)
    message = cli("deploy", "denied", "--model", f"{model}/1", kubeconfig=few, code=5).stderr
    assert "you may not" in message and "deployments.apps" in message
    assert k8s.cluster.find("ServiceAccount", "denied") is None, "something was written"


def test_an_unready_service_ends_with_its_cause_and_the_old_one_serves(
    cli: Cli, service: str, model: str
) -> None:
    message = cli(
        "deploy", service, "--model", f"{model}/1", *SMALL, "--gpu", "9", "--timeout", "60s", code=1
    ).stderr
    assert "Insufficient nvidia.com/gpu" in message
    assert version(cli, service) == "1"
    cli("deploy", service, "--model", f"{model}/1", *SMALL)


def test_ctrl_c_while_waiting_says_what_is_left_and_running_again_converges(
    cli: Cli, local_cluster: Any, k8s: Kubernetes, model: str
) -> None:
    arguments = ["deploy", "stopped", "--model", f"{model}/1", *SMALL]
    place = ["-n", k8s.namespace, "--kubeconfig", str(local_cluster.kubeconfig)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlk8s", *arguments, *place],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "applied" in line:
            break
    process.send_signal(signal.SIGINT)
    _, left = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "run the same command again" in left and "Traceback" not in left
    assert cli(*arguments).stdout.strip().endswith("/stopped")
    cli("delete", "stopped")


def test_a_server_that_never_answers_is_given_up_in_bounded_time(local_cluster: Any, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        config = yaml.safe_load(Path(local_cluster.kubeconfig).read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "mlk8s", "doctor", "--kubeconfig", str(tmp_path / "config")],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 5 and "timed out" in done.stderr
    assert time.monotonic() - began < 60


def test_status_of_the_local_cluster(local_cluster: Any) -> None:
    command = [sys.executable, "-m", "mlk8s", "status", "--name", local_cluster.name]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (
        shown.returncode == 0 and "kube-apiserver" in shown.stdout and "state:      running" in shown.stdout
    )
    found = orjson.loads(subprocess.run([*command, "-o", "json"], capture_output=True, timeout=60).stdout)[0]
    assert found["running"] and found["memory_bytes"] > 2**20
    assert Cluster.connect(kubeconfig=found["kubeconfig"]).version() == found["version"]
