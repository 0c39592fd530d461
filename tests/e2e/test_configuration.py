"""Configuration on the real cluster: environment, files and Secrets are seen, and changes roll the pods."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import live_pods, wait_for
from onnx_models import scaling

import mlk8s
from mlk8s.errors import Conflict, NotFound, UsageError
from mlk8s.operations.connection import Kubernetes
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

SMALL = Resources(cpu="50m", cpu_limit=None, memory="192Mi")
TINY = Resources(cpu="10m", cpu_limit=None, memory="48Mi", ephemeral_storage="16Mi")
FIRST, SECOND = "correct-horse", "battery-staple"
SETTINGS, FOLDER = "/etc/app/settings.yaml", "/etc/db"

# What a container sees, as one line of JSON.
LOOK = f"""
import json, os
secret = {FOLDER!r} + "/password"
print(json.dumps({{
    "env": os.environ.get("GREETING"), "file": open({SETTINGS!r}).read(),
    "secret": os.environ.get("DB_PASSWORD"), "secret_file": open(secret).read(),
    "mode": oct(os.stat(secret).st_mode & 0o777)}}), flush=True)
"""
STAY = "\nimport signal; signal.sigwait([signal.SIGTERM])\n"
# The server is started only once it sees all of it, so a pod that is ready has seen it.
SEES = f"""
import os
assert os.environ["GREETING"] == "hello" and len(os.environ["DB_PASSWORD"]) > 9
assert open({SETTINGS!r}).read().startswith("limit: ")
assert open({FOLDER!r} + "/password").read() == os.environ["DB_PASSWORD"]
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes, python_pods: str) -> mlk8s.ModelService:
    url = f"s3://models/{k8s.namespace}/1"
    upload_model(scaling(2.0), url, config=k8s.storage())
    reads: dict[str, Any] = {
        "env": {"GREETING": "hello"},
        "config_files": {SETTINGS: "limit: 1\n"},
        "secret_env": {"DB_PASSWORD": "db/password"},
        "secret_files": {FOLDER: "db"},
    }
    look = Container("look", python_pods, command=("python3", "-I", "-c", LOOK), resources=TINY, **reads)
    beside = look.replace(name="beside", command=("python3", "-I", "-c", LOOK + STAY))
    return mlk8s.ModelService(
        name="configured",
        model=url,
        replicas=1,
        resources=SMALL,
        request_timeout=1,
        startup_timeout=90,
        init=(look,),
        sidecars=(beside,),
        probes=Probes(startup=Probe(command=("python3", "-c", SEES), timeout=5)),
        **reads,
    )


def run(k8s: Kubernetes, local: Any, *arguments: str, given: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "mlk8s", *arguments, "-n", k8s.namespace],
        input=given, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "KUBECONFIG": str(local.kubeconfig)},
    )  # fmt: skip


def seen(k8s: Kubernetes, container: str) -> dict[str, str]:
    """Return what a container of the pod says it sees; one that runs beside the server may be slower."""
    (pod,) = live_pods(k8s.cluster, "app.kubernetes.io/name=configured")
    text = wait_for(lambda: k8s.cluster.logs(pod["metadata"]["name"], container=container))
    found: dict[str, str] = json.loads(text.splitlines()[0])
    return found


def expected(limit: int, password: str) -> dict[str, str]:
    file = f"limit: {limit}\n"
    return {"env": "hello", "file": file, "secret": password, "secret_file": password, "mode": "0o440"}


def deployment(k8s: Kubernetes) -> dict[str, Any]:
    return k8s.cluster.get("Deployment", "configured")


def test_a_secret_that_is_not_there_is_refused_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    with pytest.raises(NotFound, match="Secret 'db' is not there"):
        k8s.deploy(spec)
    k8s.create_secret("db", {"user": "model"})
    with pytest.raises(NotFound, match="no key 'password'") as refused:
        k8s.deploy(spec)
    assert refused.value.expected == "one of its keys: user"
    assert "with all of its keys" in str(
        refused.value.next_step
    )  # `secret create` keeps none of the old ones
    for kind in ("Deployment", "ConfigMap", "Service", "ServiceAccount"):
        assert not k8s.cluster.list(kind, labels="app.kubernetes.io/name=configured"), kind


def test_the_command_line_makes_a_secret_and_shows_nothing_of_it(k8s: Kubernetes, local_cluster: Any) -> None:
    made = run(k8s, local_cluster, "secret", "create", "db", "--from-stdin", "password", given=f"{FIRST}\n")
    assert made.returncode == 0, made.stderr
    assert (
        "keys: password, without user, which it had" in made.stderr and FIRST not in made.stdout + made.stderr
    )
    data = k8s.cluster.get("Secret", "db")["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == {"password": FIRST}


def test_a_value_that_did_not_come_is_not_stored(k8s: Kubernetes, local_cluster: Any) -> None:
    made = run(k8s, local_cluster, "secret", "create", "empty", "--from-stdin", "password", given="\n")
    assert made.returncode == 2 and "nothing came from standard input" in made.stderr
    assert k8s.cluster.find("Secret", "empty") is None


def test_a_secret_of_somebody_else_is_not_replaced(k8s: Kubernetes) -> None:
    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"a": "b"}}
    k8s.cluster.create(foreign)
    with pytest.raises(Conflict, match="belongs to"):
        k8s.create_secret("theirs", {"a": "c"})


def test_a_config_map_is_made_told_replaced_and_nobody_elses(
    k8s: Kubernetes, local_cluster: Any, tmp_path: Path
) -> None:
    (tmp_path / "settings.yaml").write_text("limit: 1\n")
    said: list[str] = []
    values = {"mode": "fast", "settings.yaml": tmp_path / "settings.yaml", "blob": b"\xff\x00"}
    k8s.create_config_map("shared", values, say=said.append)
    found = k8s.cluster.get("ConfigMap", "shared")
    assert found["data"] == {"mode": "fast", "settings.yaml": "limit: 1\n"}
    assert found["binaryData"] == {"blob": base64.b64encode(b"\xff\x00").decode()}
    k8s.create_config_map("shared", values, say=said.append)
    assert k8s.cluster.get("ConfigMap", "shared")["metadata"] == found["metadata"]
    made = run(
        k8s, local_cluster, "config", "create", "shared", "--from-literal", "mode=slow",
        "--from-file", str(tmp_path / "settings.yaml"), given="",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert [line.partition("/shared ")[2].split(",")[0] for line in said] == ["made", "unchanged"]
    assert "replaced, keys: settings.yaml, mode, without blob, which it had" in made.stderr
    assert k8s.cluster.get("ConfigMap", "shared")["data"]["mode"] == "slow"
    with pytest.raises(UsageError, match="key 'DB_PASSWORD' has the name of a secret") as refused:
        k8s.create_config_map("shared", {"DB_PASSWORD": FIRST})
    assert FIRST not in str(refused.value)
    with pytest.raises(Conflict, match="belongs to"):  # the API server's own
        k8s.create_config_map("kube-root-ca.crt", {"ca.crt": "mine"})


def test_environment_and_files_are_seen_in_every_container(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    service = k8s.deploy(spec)
    assert service.status().ready == 1
    assert seen(k8s, "look") == seen(k8s, "beside") == expected(1, FIRST)
    text = json.dumps(deployment(k8s))
    for form in (
        FIRST,
        base64.b64encode(FIRST.encode()).decode(),
        hashlib.sha256(FIRST.encode()).hexdigest()[:10],
    ):
        assert form not in text


def test_the_same_deploy_again_leaves_the_pods(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    before = deployment(k8s)["metadata"]["generation"]
    k8s.create_secret("db", {"password": FIRST})
    k8s.deploy(spec)
    assert deployment(k8s)["metadata"]["generation"] == before


def test_a_changed_secret_and_file_roll_the_pods(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    k8s.create_secret("db", {"password": SECOND})
    k8s.deploy(spec)
    assert seen(k8s, "beside") == expected(1, SECOND)
    files = {SETTINGS: "limit: 2\n"}
    beside = tuple(item.replace(config_files=files) for item in spec.sidecars)
    k8s.deploy(spec.replace(config_files=files, sidecars=beside))
    assert seen(k8s, "beside") == expected(2, SECOND)
    assert seen(k8s, "look") == expected(1, SECOND)
    kept = [item for item in k8s.cluster.list("ConfigMap") if "configured-beside" in item["metadata"]["name"]]
    assert {text for item in kept for text in item["data"].values()} == {"limit: 1\n", "limit: 2\n"}


def test_a_pipeline_reads_its_configuration_too(k8s: Kubernetes) -> None:
    source = f"""
import os
def build():
    assert os.environ["DB_PASSWORD"] == open({FOLDER!r} + "/password").read()
    rows = int(open({SETTINGS!r}).read().removeprefix("limit: "))
    return {{"x": [os.environ["GREETING"]] * rows}}
"""
    job = mlk8s.FeatureJob(
        name="reads",
        source=source,
        output=f"s3://features/{k8s.namespace}",
        env={"GREETING": "hello"},
        config_files={SETTINGS: "limit: 3\n"},
        secret_env={"DB_PASSWORD": "db/password"},
        secret_files={FOLDER: "db"},
    )
    with pytest.raises(NotFound, match="Secret 'absent' is not there"):
        k8s.run_job(job.replace(secret_env={"DB_PASSWORD": "absent/password"}))
    done = k8s.run_job(job)
    assert done is not None and done.rows == 3
