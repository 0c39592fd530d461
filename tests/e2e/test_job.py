"""Feature jobs on the real cluster: published once, retried where it helps, by schedule or by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mlk8s
from mlk8s.errors import Conflict, NotFound, RolloutFailed
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.job import run_job
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.resources import Resources
from mlk8s.storage.datasets import read_dataset

SMALL = Resources(cpu="100m", cpu_limit=None, memory="256Mi")
SOURCE = """\
def build(rows: int = 4, wait: float = 0.0) -> dict[str, list[int]]:
    import time

    time.sleep(wait)
    return {"x": list(range(rows)), "y": [2 * n for n in range(rows)]}
"""
BROKEN = """\
def build() -> None:
    print("reading the table")
    raise KeyError("no column 'age'")
"""
# Answers what is in its file; the function asks it.
BESIDE = """\
import http.server, signal
signal.signal(signal.SIGTERM, lambda *_: exit())  # process 1 of a container has no default for it
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(open("/etc/beside/word", "rb").read())
http.server.HTTPServer(("", 9090), Answer).serve_forever()
"""
ASKS = """\
from urllib.request import urlopen

def build() -> dict[str, list[str]]:
    return {"x": [urlopen("http://127.0.0.1:9090/", timeout=5).read().decode()]}
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def job(k8s: Kubernetes) -> mlk8s.FeatureJob:
    return mlk8s.FeatureJob(
        name="doubles",
        source=SOURCE,
        output=f"s3://features/{k8s.namespace}",
        version="one",
        resources=SMALL,
        active_deadline=90,
        backoff_limit=2,
    )


def jobs(k8s: Kubernetes, name: str = "doubles") -> list[dict[str, Any]]:
    return k8s.cluster.list("Job", labels=f"app.kubernetes.io/name={name}")


def test_a_job_publishes_one_version_and_is_not_run_twice(k8s: Kubernetes, job: mlk8s.FeatureJob) -> None:
    begun = datetime.now(UTC)
    result = k8s.run_job(job)
    assert (result.version, result.rows, result.columns, result.attempts) == ("one", 4, 2, 1)
    assert result.created
    assert result.started is not None
    assert begun - timedelta(seconds=1) <= result.started <= datetime.now(UTC)  # it has whole seconds
    data = read_dataset(job.output, "one", config=k8s.storage())
    assert data.table.to_pydict() == {"x": [0, 1, 2, 3], "y": [0, 2, 4, 6]}
    assert data.manifest.digest == result.digest

    said: list[str] = []
    again = k8s.run_job(job, say=said.append)
    assert again == result
    assert "has already succeeded" in said[0]
    assert len(jobs(k8s)) == 1


def test_a_jobs_source_goes_with_the_job(k8s: Kubernetes) -> None:
    (found,) = jobs(k8s)
    config = k8s.cluster.get("ConfigMap", found["metadata"]["name"])
    assert config["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


def test_a_run_that_goes_on_is_waited_for(k8s: Kubernetes, job: mlk8s.FeatureJob) -> None:
    slow = job.replace(name="slow", version=None, parameters={"wait": 3.0})
    assert run_job(k8s.cluster, k8s.platform, slow, wait=False) is None
    said: list[str] = []
    result = k8s.run_job(slow, say=said.append)
    assert "already runs" in said[0]
    assert result.version.startswith("20")
    assert len(jobs(k8s, "slow")) == 1


def test_a_sidecar_is_there_before_the_function_and_ends_with_the_job(
    k8s: Kubernetes, job: mlk8s.FeatureJob, python_pods: str
) -> None:
    files = {"/etc/beside/word": "hello"}
    beside = Container(
        "beside", python_pods, command=("python3", "-I", "-c", BESIDE), ports={"web": 9090},
        config_files=files, probes=Probes(startup=Probe(tcp=True)),
        resources=Resources(cpu="10m", cpu_limit=None, memory="48Mi", ephemeral_storage="16Mi"),
    )  # fmt: skip
    asks = job.replace(name="asks", source=ASKS, sidecars=beside, output=f"{job.output}-asks")
    done = k8s.run_job(asks)
    data = read_dataset(asks.output, done.version, config=k8s.storage())
    assert data.table.to_pydict() == {"x": ["hello"]}
    (found,) = jobs(k8s, "asks")
    assert [item["type"] for item in found["status"]["conditions"] if item["status"] == "True"] == [
        "SuccessCriteriaMet", "Complete",
    ]  # fmt: skip
    (pod,) = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=asks")
    (status,) = pod["status"]["initContainerStatuses"]
    assert pod["status"]["phase"] == "Succeeded" and "terminated" in status["state"]

    # Its file goes with the last run that mounts it.
    k8s.run_job(asks.replace(version="two"))
    (config,) = [
        item
        for item in k8s.cluster.list("ConfigMap", labels="app.kubernetes.io/name=asks")
        if list(item["data"].values()) == ["hello"]
    ]
    owners = {item["uid"] for item in config["metadata"]["ownerReferences"]}
    assert owners == {item["metadata"]["uid"] for item in jobs(k8s, "asks")} and len(owners) == 2


def test_an_error_of_the_user_is_not_retried_and_shows_the_log(
    k8s: Kubernetes, job: mlk8s.FeatureJob
) -> None:
    broken = job.replace(name="broken", source=BROKEN)
    with pytest.raises(RolloutFailed, match=r"exit code 64: .*KeyError.*no column 'age'") as told:
        k8s.run_job(broken)
    assert "reading the table" in str(told.value)
    assert len(k8s.cluster.list("Pod", labels="app.kubernetes.io/name=broken")) == 1

    said: list[str] = []
    with pytest.raises(RolloutFailed):
        k8s.run_job(broken, say=said.append)
    assert "an earlier run failed" in said[0]
    assert "running it again" in said[0]


def test_other_content_for_a_published_version_is_refused(k8s: Kubernetes, job: mlk8s.FeatureJob) -> None:
    with pytest.raises(RolloutFailed, match=r"exit code 64: .*(?i:version)"):
        k8s.run_job(job.replace(parameters={"rows": 5}))
    assert read_dataset(job.output, "one", config=k8s.storage()).table.num_rows == 4


def test_a_deadline_is_named(k8s: Kubernetes, job: mlk8s.FeatureJob) -> None:
    slow = job.replace(name="late", version="late", parameters={"wait": 60.0}, active_deadline=5)
    with pytest.raises(RolloutFailed, match="stopped after its deadline of 5 s"):
        k8s.run_job(slow)


def test_an_image_that_is_not_there_ends_the_wait(k8s: Kubernetes, job: mlk8s.FeatureJob) -> None:
    with pytest.raises(RolloutFailed, match="absent:1 cannot be pulled"):
        k8s.run_job(job.replace(name="imageless", image="localhost/mlk8s/absent:1"))
    (found,) = jobs(k8s, "imageless")
    made = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    assert datetime.now(UTC) - made < timedelta(seconds=40)


def test_a_cron_job_keeps_its_slots_and_can_be_started_by_hand(
    k8s: Kubernetes, job: mlk8s.FeatureJob
) -> None:
    cron = mlk8s.FeatureCronJob(
        job=job.replace(name="nightly", version=None), schedule="15 3 1 1 *", time_zone="Europe/Berlin"
    )
    k8s.apply_cron(cron)
    k8s.apply_cron(cron)
    found = k8s.cluster.get("CronJob", "nightly")
    assert (found["spec"]["timeZone"], found["spec"]["concurrencyPolicy"]) == ("Europe/Berlin", "Forbid")
    result = k8s.trigger_cron("nightly")
    assert (result.rows, result.created) == (4, True)
    (started,) = jobs(k8s, "nightly")
    assert started["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert started["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


def test_a_cron_job_that_is_not_there_or_not_ours_is_refused(k8s: Kubernetes) -> None:
    with pytest.raises(NotFound, match="no CronJob is named 'weekly'") as told:
        k8s.trigger_cron("weekly")
    assert "nightly" in str(told.value)
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "localhost/a:1"}]}
    k8s.cluster.create(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "theirs", "namespace": k8s.namespace},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
        }
    )
    with pytest.raises(Conflict, match="CronJob 'theirs' belongs to"):
        k8s.trigger_cron("theirs")
