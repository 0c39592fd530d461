"""The copy that is measured, and what a plan changes."""

from __future__ import annotations

import pytest
import yaml

from mlk8s.errors import UsageError
from mlk8s.render.common import Identity
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import route_path
from mlk8s.render.scaling import autoscaler
from mlk8s.render.service import render_service
from mlk8s.render.size import SIZE_OF, document, patches, size_copy
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.route import PathRule, Route, ServiceType
from mlk8s.spec.service import ModelService
from mlk8s.spec.vertical import Vertical
from mlk8s.spec.volume import Volume

FACTS = RenderFacts(namespace="lab", server_image="server:1", storage_endpoint="http://s3.lab.svc:8333")
SPEC = ModelService(name="iris", model="s3://models/iris/1", autoscale=Autoscale(min=2, max=5, target=4))


def test_a_copy_is_one_pod_of_the_same_kind_under_another_name() -> None:
    copy = size_copy(SPEC.replace(max_in_flight=9, gpu=Gpu(1), digest=f"sha256:{'0' * 64}"))
    assert (copy.name, copy.replicas, copy.autoscale, copy.max_in_flight) == ("iris-size", 1, None, 9)
    assert copy.gpu == Gpu(1) and copy.digest and copy.labels == {SIZE_OF: "iris"}
    made, own = render_service(copy, FACTS), render_service(SPEC, FACTS)
    assert not {(i["kind"], i["metadata"]["name"]) for i in made} & {
        (i["kind"], i["metadata"]["name"]) for i in own
    }
    assert "HorizontalPodAutoscaler" not in {item["kind"] for item in made}
    assert all(item["metadata"]["labels"][SIZE_OF] == "iris" for item in made)
    selector = next(item for item in own if item["kind"] == "Service")["spec"]["selector"]
    pod = next(item for item in made if item["kind"] == "Deployment")["spec"]["template"]["metadata"][
        "labels"
    ]
    assert not selector.items() <= pod.items()  # the service's requests never come to its copy


def test_a_copy_leaves_out_what_could_touch_the_service() -> None:
    spec = ModelService(
        name="iris", model="s3://models/iris/1", replicas=3, strategy="BlueGreen", retain=60,
        service_type=ServiceType("NodePort", node_port=30123), vertical=None,
        route=Route(host="iris.example.com", path="/", paths=(PathRule(path="/v2/models"),), tls="iris-tls"),
        volumes=(
            Volume(name="cache", size="1Gi", access="ReadWriteMany"),
            Volume(name="data", claim="shared", access="ReadWriteMany", read_only=False),
        ),
    )  # fmt: skip
    copy = size_copy(spec)
    assert copy.service_type == ServiceType() and copy.strategy == "RollingUpdate" and copy.retain is None
    assert copy.route == Route(host="iris.example.com", tls="iris-tls")
    assert route_path(copy, FACTS) == "/lab/iris-size"
    cache, data = copy.volumes
    assert not cache.retain and data.mounted_read_only
    watched = SPEC.replace(vertical=Vertical(mode="Off"))
    assert size_copy(watched).vertical is None


def test_what_cannot_be_copied_is_refused() -> None:
    with pytest.raises(UsageError, match="no route"):
        size_copy(ModelService(name="iris", model="s3://models/iris/1", route=None))
    with pytest.raises(UsageError, match="51 characters"):
        size_copy(ModelService(name="a" * 46, model="s3://models/iris/1"))
    assert len(size_copy(ModelService(name="a" * 45, model="s3://models/iris/1")).name) == 50


def test_patches_are_the_difference_and_no_more() -> None:
    new = SPEC.replace(
        autoscale=Autoscale(min=3, max=9, target=2), resources=Resources(cpu="300m", memory="256Mi")
    )
    deployment, scaler = patches(SPEC, new, "lab")
    assert (deployment["kind"], deployment["name"], deployment["type"]) == ("Deployment", "iris", "strategic")
    (container,) = deployment["patch"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "server" and container["resources"]["requests"]["cpu"] == "300m"
    assert scaler["type"] == "merge" and "scaleTargetRef" not in scaler["patch"]["spec"]
    assert new.autoscale is not None
    whole = autoscaler(new, FACTS, Identity("iris"), new.autoscale)["spec"]
    assert scaler["patch"]["spec"].items() <= whole.items()
    assert patches(SPEC, SPEC, "lab") == []
    green = patches(SPEC, new, "lab", "green")
    assert {item["name"] for item in green} == {"iris-green"}


def test_an_autoscaler_that_is_not_there_has_no_patch() -> None:
    bare = ModelService(name="iris", model="s3://models/iris/1")
    assert patches(bare, SPEC, "lab") == []


def test_the_document_is_the_same_service() -> None:
    for spec in (SPEC, SPEC.replace(namespace="lab", labels={"team": "a"}, gpu=Gpu(2))):
        read = yaml.safe_load(document(spec))
        assert (read["apiVersion"], read["kind"]) == ("mlk8s.dev/v1", "ModelService")
        assert ModelService(**read["metadata"], **read["spec"]) == spec
