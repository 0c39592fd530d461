"""Containers, probes and configuration: every limit is checked when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.spec.configuration import referenced_secrets
from mlk8s.spec.container import TIMING, Container, Probe, Probes
from mlk8s.spec.job import FeatureJob
from mlk8s.spec.pods import server_probes
from mlk8s.spec.service import ModelService

TOKEN = "ghp_" + "a1B2" * 9  # put together: this file has no form of a secret itself


def make(**values: Any) -> Container:
    return Container("main", "registry.example.com/app:1", **values)


def service(**values: Any) -> ModelService:
    return ModelService(name="iris", model="s3://models/iris/1", **values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ports": {"Web": 80}}, "port name 'Web'"),
        ({"ports": {"8080": 80}}, "with a letter"),
        ({"ports": {"a-port-name-that-is-long": 80}}, "at most 15"),
        ({"ports": {"a": 80, "b": 80}}, "two names have one port"),
        ({"ports": (80, 80)}, "given twice"),
        ({"ports": (70_000,)}, "less than or equal to 65535"),
        ({"mounts": {"data": "x"}}, "expected an absolute path"),
        ({"mounts": {"/data": "X"}}, "expected a DNS-1123 label"),
        ({"mounts": {"/proc/1": "x"}}, "belongs to the kernel"),
        ({"mounts": {"/tmp": "x"}}, "scratch space"),
        ({"mounts": {"/a": "x"}, "config_files": {"/a": ""}}, "is taken already"),
        ({"config_files": {"/etc/../x": ""}}, "expected an absolute path"),
        ({"config_files": {"/etc/app/": ""}}, "expected an absolute path"),
        ({"config_files": {"/a": "x" * 200_000}}, "at most 200000"),
        ({"config_files": {"/a": "", "/a/b": ""}}, "lies inside the file /a"),
        ({"config_files": {"/a/b": ""}, "secret_files": {"/a": "s"}}, "lies inside /a of secret_files"),
        ({"config_files": {"/a": Path("/nowhere")}}, "cannot read the file"),
        ({"env": {"1A": "x"}}, "expected letters, digits"),
        ({"env": {"A": "x\0"}}, "NUL"),
        ({"env": {"A": "x"}, "secret_env": {"A": "s/k"}}, "in env and in secret_env"),
        ({"secret_env": {"A": "S/k"}}, "expected a DNS-1123 label"),
        ({"secret_env": {"A": "s/a b"}}, "key 'a b'"),
        ({"probes": Probes(liveness=Probe(period=3))}, "probes.liveness asks nothing"),
        ({"probes": Probes(liveness=Probe(tcp=True))}, "names no port"),
        ({"image": "registry.example.com/app"}, "fixed tag"),
    ],
)
def test_what_is_outside_its_range_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match="Container") as refused:
        Container(**{"name": "main", "image": "registry.example.com/app:1"} | values)
    assert words in refused.value.what


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"http_get": "ready"}, "absolute URL path"),
        ({"http_get": "/", "tcp": True}, "expected one question"),
        ({"command": ("true",), "port": 80}, "port is given with command"),
        ({"period": 0}, "greater than or equal to 1"),
        ({"period": 1.5}, "whole seconds"),
        ({"failures": 0}, "greater than or equal to 1"),
        ({"failures": True}, "an integer"),
    ],
)
def test_a_probe_asks_one_question_at_times_that_kubernetes_has(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as refused:
        Probe(**values)
    assert words in refused.value.what


def test_liveness_that_is_readiness_again_is_refused() -> None:
    same: dict[str, Any] = {"http_get": "/healthz", "port": 80}
    with pytest.raises(SpecError, match="liveness asks the same as readiness"):
        Probes(readiness=Probe(**same, period=5, failures=6), liveness=Probe(**same))
    Probes(readiness=Probe(**same), liveness=Probe(**same))  # by default liveness waits ten times as long
    with pytest.raises(SpecError, match="liveness asks the same as readiness"):
        service(probes=Probes(readiness=Probe(http_get="/v2/health/live", period=10)))


def test_the_servers_probes_keep_what_is_not_given() -> None:
    probes = server_probes(Probes(readiness=Probe(period=2), startup=Probe(http_get="/up", period=3)), 10)
    assert probes["readiness"] == TIMING["readiness"].replace(period=2, http_get="/v2/health/ready")
    assert (probes["startup"].http_get, probes["startup"].failures) == ("/up", 4)
    assert probes["liveness"] == TIMING["liveness"].replace(http_get="/v2/health/live")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sidecars": (make(), make())}, "container name 'main' is there twice"),
        ({"init": (make().replace(name="server"),)}, "container name 'server'"),
        ({"sidecars": (make(ports={"http": 81}),)}, "port name 'http'"),
        ({"sidecars": (make(ports=(8080,)),)}, "port 8080"),
        ({"init": (make(probes=Probes(startup=Probe(command=("true",)))),)}, "has probes"),
        ({"sidecars": (make(mounts={"/data": "nowhere"}),)}, "expected one of: models"),
        ({"env": {"PORT": "1"}}, "'PORT' is mlk8s's own"),
        ({"config_files": {"/models/x": ""}}, "lies in /models"),
        ({"probes": Probes(startup=Probe(failures=3))}, "expected startup_timeout"),
        (
            {
                "config_files": {"/a": "x" * 150_000},
                "init": (make(config_files={"/a": "x" * 150_000}),),
            },
            "at most 200000",
        ),
    ],
)
def test_what_no_container_can_know_alone_is_checked_by_the_service(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as refused:
        service(**values)
    assert words in refused.value.what


@pytest.mark.parametrize(
    "values",
    [
        {"env": {"A": TOKEN}},
        {"labels": {"a": TOKEN[:63]}},
        {"storage_endpoint": "http://me:" + "pw@s3:9000"},
        {"config_files": {"/a": f"x: {TOKEN}\n"}},
        {"init": (("main", (f"--token={TOKEN}",)),)},
    ],
)
def test_a_plain_secret_is_refused_wherever_it_stands_and_not_repeated(values: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="expected no plain secrets") as refused:
        if "init" in values:
            name, args = values["init"][0]
            values = {"init": (make(args=args).replace(name=name),)}
        service(**values)
    assert TOKEN not in str(refused.value) and "me:pw" not in str(refused.value)


def test_a_name_of_a_secret_is_refused_without_its_value() -> None:
    with pytest.raises(SpecError, match="'DB_PASSWORD' looks like a secret") as refused:
        make(env={"DB_PASSWORD": "hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(SpecError, match="expected SECRET/KEY") as refused:
        make(secret_env={"DB_PASSWORD": "hunter2"})
    assert "hunter2" not in str(refused.value)
    make(env={"DB_PASSWORD_FILE": "/etc/db/password"})


def test_a_pipelines_source_has_no_secret() -> None:
    with pytest.raises(SpecError, match=r"FeatureJob\.source: has a GitHub token"):
        FeatureJob(name="a", source=f"def build():\n    return {TOKEN!r}\n", output="s3://features/a")


def test_a_file_given_by_its_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    assert make(config_files={"/etc/a.yaml": tmp_path / "a.yaml"}).config_files == {"/etc/a.yaml": "a: 1\n"}


def test_every_secret_that_is_referred_to_is_found() -> None:
    spec = service(
        secret_env={"A": "one/a", "B": "one/b"},
        sidecars=(make(secret_files={"/etc/two": "two"}, secret_env={"C": "one/c"}),),
    )
    assert referenced_secrets(spec) == {"one": {"a", "b", "c"}, "two": set()}
