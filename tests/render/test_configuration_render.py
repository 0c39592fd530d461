"""Containers and configuration as manifests: order, names that follow the content, Secrets by reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlk8s.render.bundle import to_yaml
from mlk8s.render.configuration import CONFIG_HASH
from mlk8s.render.container import container, container_volumes, sidecar
from mlk8s.render.redact import redacted
from mlk8s.render.service import render_service
from mlk8s.spec.container import Container
from tests.render.cases import CONFIGURED, FACTS, PLAIN, SECRETS


def template(spec: Any = CONFIGURED, facts: Any = SECRETS) -> dict[str, Any]:
    (found,) = [item for item in render_service(spec, facts) if item["kind"] == "Deployment"]
    return dict(found["spec"]["template"])


def config_maps(spec: Any) -> dict[str, Any]:
    found = [item for item in render_service(spec, FACTS) if item["kind"] == "ConfigMap"]
    return {item["metadata"]["name"]: item for item in found}


def test_init_containers_come_first_then_sidecars_then_the_model() -> None:
    first = template()["spec"]["initContainers"]
    assert [item["name"] for item in first] == ["prepare", "proxy", "fetch-model"]
    assert [item.get("restartPolicy") for item in first] == [None, "Always", None]


def test_every_mount_has_its_volume_and_every_volume_its_source() -> None:
    pod = template()["spec"]
    volumes = {item["name"]: item for item in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"])
    containers = [*pod["initContainers"], *pod["containers"]]
    assert {mount["name"] for item in containers for mount in item["volumeMounts"]} == set(volumes)
    made = config_maps(CONFIGURED)
    keys = {name: set(item["data"]) for name, item in made.items()}
    for item in containers:
        for mount in item["volumeMounts"]:
            if "configMap" in volumes[mount["name"]]:
                assert mount["subPath"] in keys[volumes[mount["name"]]["configMap"]["name"]]
    modes = {item["secret"]["defaultMode"] for item in pod["volumes"] if "secret" in item}
    assert modes == {0o440}


def test_a_changed_file_is_another_config_map_and_so_other_pods() -> None:
    changed = CONFIGURED.replace(config_files={"/etc/app/settings.yaml": "limit: 2\n"})
    assert len(set(config_maps(CONFIGURED)) ^ set(config_maps(changed))) == 2
    assert all(item["immutable"] for item in config_maps(CONFIGURED).values())
    assert template() != template(changed)


def test_two_files_of_one_name_are_two_keys() -> None:
    spec = Container("a", "b:1", config_files={"/a/x.yaml": "1", "/b/x.yaml": "2"})
    keys = [mount["subPath"] for mount in container(spec)["volumeMounts"] if "subPath" in mount]
    assert len(set(keys)) == 2


def test_only_the_versions_of_secrets_that_are_referred_to_change_the_pods() -> None:
    annotations = template()["metadata"]["annotations"]
    other = replace(SECRETS, secret_versions={"db": "0d4f/17", "else": "1"})
    assert template(facts=other)["metadata"]["annotations"] == annotations
    newer = replace(SECRETS, secret_versions={"db": "0d4f/18"})
    assert template(facts=newer)["metadata"]["annotations"][CONFIG_HASH] != annotations[CONFIG_HASH]
    assert CONFIG_HASH not in template(facts=FACTS)["metadata"]["annotations"]
    assert CONFIG_HASH not in template(PLAIN)["metadata"]["annotations"]


def test_a_secret_is_in_the_manifest_by_reference_only() -> None:
    (found,) = [item for item in template()["spec"]["containers"][0]["env"] if item["name"] == "DB_PASSWORD"]
    assert found == {
        "name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}},
    }  # fmt: skip


def test_every_container_has_scratch_space_of_its_own() -> None:
    one, two = Container("one", "b:1"), Container("two", "b:1")
    assert container(one)["volumeMounts"] == [{"name": "tmp-one", "mountPath": "/tmp"}]
    assert [item["name"] for item in container_volumes((one, two), "owner")] == ["tmp-one", "tmp-two"]
    assert sidecar(one) == {**container(one), "restartPolicy": "Always"}


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_secrets_values_are_never_shown(field: str) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "db"}, field: {"password": "aHVudGVyMg=="}}
    config = {"kind": "ConfigMap", "data": {"a": "b"}}
    assert redacted([secret, config]) == [{**secret, field: {"password": "[redacted]"}}, config]
    text = to_yaml([secret, config])
    assert "aHVudGVyMg" not in text and "password: '[redacted]'" in text
