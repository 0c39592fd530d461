"""What every spec with pods has in common is rendered the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mlk8s
from mlk8s.render.common import Manifest
from mlk8s.render.job import render_cron_job, render_job
from mlk8s.render.objects import render
from mlk8s.render.service import render_service
from mlk8s.spec.base import Spec
from mlk8s.spec.container import Container
from mlk8s.spec.pod import pulled_with
from tests.render.cases import CRON, FACTS, JOB, PLAIN

MAIN = Container("main", "registry/app:1")
ROLES = tuple(mlk8s.JobRole(name=name, containers=(MAIN,)) for name in ("driver", "worker"))
SPECS: dict[str, Spec] = {
    "service": PLAIN,
    "job": JOB,
    "cron": CRON,
    "stateful": mlk8s.StatefulSet(name="a", containers=(MAIN,)),
    "daemon": mlk8s.DaemonSet(name="a", containers=(MAIN,)),
    "job-set": mlk8s.FeatureJobSet(name="a", roles=ROLES),
}
RENDER: dict[type[Spec], Callable[..., list[Manifest]]] = {
    mlk8s.ModelService: render_service,
    mlk8s.FeatureJob: render_job,
    mlk8s.FeatureCronJob: render_cron_job,
}


def pods(value: Any) -> Iterator[Manifest]:
    """Yield the spec of every pod template that there is in manifests."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from pods(item)


def rendered(spec: Spec) -> list[Manifest]:
    found = list(pods(RENDER.get(type(spec), render)(spec, FACTS)))
    assert found
    return found


@pytest.mark.parametrize("name", SPECS)
def test_images_are_pulled_with_the_tenants_secrets_where_the_spec_names_none(name: str) -> None:
    spec = SPECS[name]
    assert all("imagePullSecrets" not in pod for pod in rendered(spec))
    taken = pulled_with(spec, ("registry", "mirror"))
    for pod in rendered(taken):
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert pulled_with(taken, ("other",)) == taken  # the spec's own stay
    assert pulled_with(spec, ()) is spec


def test_other_specs_have_nothing_to_pull() -> None:
    volume = mlk8s.Volume(name="data", size="1Gi")
    assert pulled_with(volume, ("registry",)) is volume


@pytest.mark.parametrize(("spec", "kind"), [(JOB, "Job"), (CRON, "CronJob")])
def test_a_jobs_sidecars_are_those_of_a_service(spec: Spec, kind: str) -> None:
    proxy = Container("proxy", "registry/proxy:1", config_files={"/etc/proxy.yaml": "a: 1\n"})
    job = JOB.replace(sidecars=proxy) if kind == "Job" else CRON.replace(job=CRON.job.replace(sidecars=proxy))
    made = RENDER[type(spec)](job, FACTS)
    (pod,) = pods(made)
    (served,) = pods(render_service(PLAIN.replace(sidecars=proxy), FACTS))
    (first,) = pod["initContainers"]
    assert first == served["initContainers"][0]
    assert first["restartPolicy"] == "Always"
    assert [item["name"] for item in pod["containers"]] == ["pipeline"]
    (files,) = [item for item in pod["volumes"] if item["name"] == "files-proxy"]
    config = {item["metadata"]["name"]: item for item in made if item["kind"] == "ConfigMap"}
    assert list(config[files["configMap"]["name"]]["data"].values()) == ["a: 1\n"]
    assert {item["name"] for item in first["volumeMounts"]} <= {item["name"] for item in pod["volumes"]}
