"""The platform's manifests: what every pod of it must have, and how they are fitted to a cluster."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mlk8s.clients.platform import Platform, _pick_class
from mlk8s.errors import LocalClusterError
from mlk8s.local import pins
from mlk8s.local.images import _STATIC
from mlk8s.local.platform import ALL, describe
from mlk8s.local.platform_manifests import BASE, CRDS, PARTS, TRAEFIK_CRDS, fit, folder, load
from mlk8s.local.platform_wait import kind_of

Object = dict[str, Any]
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def of(part: str, kind: str) -> list[Object]:
    return [item for item in load(part) if item["kind"] == kind]


def workload(objects: list[Object]) -> Object:
    (found,) = [item for item in objects if item["kind"] in ("Deployment", "StatefulSet")]
    return found


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_pod_has_no_right_that_it_does_not_need(part: str) -> None:
    deployment = workload(load(part))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == RESTRICTED
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert all(set(container["resources"][side]) == {"cpu", "memory"} for side in ("requests", "limits"))
    account = pod.get("serviceAccountName")
    assert account in [item["metadata"]["name"] for item in of(part, "ServiceAccount")] or (
        pod["automountServiceAccountToken"] is False
    )
    for volume in pod["volumes"]:
        if "emptyDir" in volume:
            assert volume["emptyDir"]["sizeLimit"], "an emptyDir without a limit fills the node"


def test_a_policy_names_every_pod_and_both_directions(part: str) -> None:
    deployment = workload(load(part))
    (policy,) = of(part, "NetworkPolicy")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_images_are_the_pinned_versions(part: str) -> None:
    deployment = workload(load(part))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == part, "fit() finds the image by the container's name"
    tag = container["image"].rpartition(":")[2].removeprefix("v")
    assert tag == pins.PARTS[part].version
    if "command" in container:
        assert container["command"] == [_STATIC[part].path]


def test_everything_can_be_found_again_by_its_label(part: str) -> None:
    for item in load(part):
        if item["kind"] != "NetworkPolicy":
            assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "mlk8s", item["metadata"][
                "name"
            ]


def test_kustomization_names_every_file_but_the_cluster_dns() -> None:
    listed = yaml.safe_load((folder() / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in folder().glob("*.yaml")}
    assert sorted(listed) == sorted(files - {"kustomization.yaml", "coredns.yaml"})


def test_crds_are_those_of_the_pinned_gateway_api() -> None:
    for crd in load(CRDS):
        annotations = crd["metadata"]["annotations"]
        assert (
            annotations["gateway.networking.k8s.io/bundle-version"] == f"v{pins.PARTS['gateway-api'].version}"
        )
        assert any(version["storage"] for version in crd["spec"]["versions"])


def test_traefik_may_read_every_kind_of_its_own_and_all_of_them_are_there() -> None:
    crds = load(TRAEFIK_CRDS)
    plurals = {crd["spec"]["names"]["plural"] for crd in crds}
    for crd in crds:
        assert crd["metadata"]["name"] == f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
        assert crd["metadata"]["labels"]["app.kubernetes.io/part-of"] == "mlk8s"
    (role,) = of("traefik", "ClusterRole")
    (rule,) = [item for item in role["rules"] if item["apiGroups"] == ["traefik.io"]]
    assert set(rule["resources"]) == plurals, "Traefik's provider waits until it has seen each of them"
    assert (len(plurals), rule["verbs"]) == (10, ["get", "list", "watch"])


def test_a_shadows_requests_are_not_counted_as_the_services() -> None:
    (config,) = [item for item in of("prometheus", "ConfigMap") if "prometheus.yml" in item["data"]]
    jobs = yaml.safe_load(config["data"]["prometheus.yml"])["scrape_configs"]
    (job,) = [item for item in jobs if any(_names_track(rule) for rule in item.get("relabel_configs", []))]
    rules = [rule for rule in job["relabel_configs"] if rule.get("target_label") == "service"]
    assert rules[-1] == {
        "source_labels": ["service", "track"],
        "regex": "(.+);shadow",
        "replacement": "$1-shadow",
        "target_label": "service",
    }


def _names_track(rule: Object) -> bool:
    return rule.get("target_label") == "track"


def test_namespace_is_restricted_and_denies_by_default() -> None:
    namespace, policy, role, binding = load(BASE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = role["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (["mlk8s-platform"], ["get"]), "everybody may read that"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_fit_swaps_images_and_leaves_the_loaded_objects_alone() -> None:
    objects = load("traefik")
    before = yaml.safe_dump(objects)
    fitted = fit(objects, images={"traefik": "localhost/mlk8s/traefik:1"})
    (deployment,) = [item for item in fitted if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/mlk8s/traefik:1"
    assert yaml.safe_dump(objects) == before
    assert fit(objects, images={"other": "x"}) == fit(objects, images={})


def test_fit_sets_the_address_of_the_dns_service_only() -> None:
    (service,) = [
        item for item in fit(load("coredns"), images={}, dns_address="10.9.0.10") if item["kind"] == "Service"
    ]
    assert service["spec"]["clusterIP"] == "10.9.0.10"
    fitted = fit(load("traefik"), images={}, dns_address="10.9.0.10")
    assert "clusterIP" not in next(item for item in fitted if item["kind"] == "Service")["spec"]


def test_without_a_storage_class_the_claim_becomes_an_empty_dir() -> None:
    def data(persistent: bool) -> tuple[Object, int]:
        fitted = fit(load("seaweedfs"), images={}, persistent=persistent)
        volumes = workload(fitted)["spec"]["template"]["spec"]["volumes"]
        claims = sum(item["kind"] == "PersistentVolumeClaim" for item in fitted)
        return next(volume for volume in volumes if volume["name"] == "data"), claims

    assert data(True) == ({"name": "data", "persistentVolumeClaim": {"claimName": "seaweedfs"}}, 1)
    assert data(False) == ({"name": "data", "emptyDir": {}}, 0)


def test_nothing_but_a_stateful_set_has_a_claim(part: str) -> None:
    found = workload(load(part))
    volumes = found["spec"]["template"]["spec"].get("volumes", [])
    if any("persistentVolumeClaim" in volume for volume in volumes):
        assert found["kind"] == "StatefulSet", "a Deployment lets two pods write to one volume"
    assert found["kind"] == kind_of(part)


def test_a_changed_configuration_makes_new_pods() -> None:
    def annotation(objects: list[Object]) -> str:
        return str(
            workload(fit(objects, images={}))["spec"]["template"]["metadata"]["annotations"][
                "mlk8s.dev/config"
            ]
        )

    objects = load("prometheus")
    before = annotation(objects)
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert annotation(load("prometheus")) == before
    config = next(item for item in objects if item["kind"] == "ConfigMap")
    config["data"]["prometheus.yml"] += "\n# changed"
    assert annotation(objects) != before


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(LocalClusterError, match="cannot be read"):
        load("no-such-part")


def test_platform_says_the_same_after_a_round_trip() -> None:
    whole = Platform(
        installed=True,
        ingress_url="http://127.0.0.1:8080",
        ingress_class="nginx",
        s3_endpoint="http://seaweedfs.mlk8s-system.svc:8333",
        prometheus="mlk8s-system/prometheus:9090",
        gpu_simulated=True,
    )
    assert whole.data()["ingress-url"] == "http://127.0.0.1:8080"
    assert whole.data()["gpu-simulated"] == "true"
    assert "server-image" not in whole.data()
    assert Platform.parse(whole.data()) == whole


def test_platform_takes_what_a_person_wrote() -> None:
    said = {
        "ingress-url": " https://models.example/ ",
        "server-image": "",
        "future-key": "x",
        "gpu-simulated": "false",
    }
    platform = Platform.parse(said)
    assert platform == Platform(installed=True, ingress_url="https://models.example")


def ingress_class(name: str, controller: str, default: bool = False) -> Object:
    key = "ingressclass.kubernetes.io/is-default-class"
    annotations = {key: "true"} if default else None
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": controller}}


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        ([], None),
        ([ingress_class("kong", "x/kong")], "kong"),
        ([ingress_class("kong", "x/kong"), ingress_class("web", "k8s.io/ingress-nginx")], "web"),
        (
            [ingress_class("kong", "x/kong", default=True), ingress_class("web", "k8s.io/ingress-nginx")],
            "kong",
        ),
        ([ingress_class("a", "x/a"), ingress_class("b", "x/b")], None),
        ([ingress_class("a", "x/a", default=True), ingress_class("b", "x/b", default=True)], None),
    ],
)
def test_ingress_class_of_a_cluster_that_says_nothing(classes: list[Object], wanted: str | None) -> None:
    assert _pick_class(classes) == wanted


def test_the_description_fits_the_manifests() -> None:
    from mlk8s.local.handle import Local
    from mlk8s.local.registry import Cluster

    local = Local(Cluster(name="x", port=9000))
    told = describe(local, server_image="s", pipeline_image="p")
    assert told.ingress_url == "http://127.0.0.1:9000"
    assert told.s3_endpoint_outside == "http://127.0.0.1:9001"
    assert told.ingress_https_url == "https://127.0.0.1:9002"
    assert set(ALL) == {*PARTS, "server", "pipeline"}
    services = {
        f"{item['metadata']['name']}.{item['metadata']['namespace']}:{port['port']}"
        for part in PARTS
        for item in of(part, "Service")
        for port in item["spec"]["ports"]
    }
    assert str(told.s3_endpoint).removeprefix("http://").replace(".svc", "") in services
    namespace, _, prometheus = str(told.prometheus).partition("/")
    assert prometheus.replace(":", f".{namespace}:") in services
    assert of("traefik", "IngressClass")[0]["metadata"]["name"] == told.ingress_class
