"""Which controllers honour a canary, by class and running image."""

from __future__ import annotations

import pytest

from mlk8s.clients.traffic import Running, judge, product, require_canary
from mlk8s.errors import Rejected

NGINX = "k8s.io/ingress-nginx"
GOOD = Running("Traefik", "v3.7.15", "Deployment mlk8s-system/traefik")
OLD = Running("Traefik", "v3.6.4", "Deployment kube-system/traefik")
UNNAMED = Running("Traefik", "sha256:0123456789ab", "Deployment kube-system/traefik")
INGRESS_NGINX = Running("ingress-nginx", "v1.13.0", "Deployment ingress-nginx/controller")


@pytest.mark.parametrize(
    ("image", "found", "version"),
    [
        ("docker.io/library/traefik:v3.7.15", "Traefik", (3, 7, 15)),
        ("localhost/mlk8s/traefik:3.7", "Traefik", (3, 7)),
        ("traefik@sha256:" + "a" * 64, "Traefik", None),
        ("localhost:5000/traefik", "Traefik", None),
        ("registry.k8s.io/ingress-nginx/controller:v1.13.0@sha256:" + "b" * 64, "ingress-nginx", (1, 13, 0)),
        ("rancher/nginx-ingress-controller:v1.12.1-hardened1", "ingress-nginx", (1, 12, 1)),
        ("higress-registry.cn/higress/gateway:2.1.0", "Higress", (2, 1, 0)),
    ],
)
def test_images_of_controllers(image: str, found: str, version: tuple[int, ...] | None) -> None:
    running = product(image)
    assert running is not None
    assert (running.product, running.version) == (found, version)


@pytest.mark.parametrize(
    "image",
    ["docker.io/library/nginx:1.29", "example/traefik-exporter:1.0", "ingress-nginx/kube-webhook-certgen:v1"],
)
def test_images_of_something_else(image: str) -> None:
    assert product(image) is None


@pytest.mark.parametrize(
    ("controller", "running", "honours"),
    [
        (NGINX, [GOOD], True),
        (NGINX, [INGRESS_NGINX], True),
        (NGINX, [OLD], False),
        (NGINX, [UNNAMED], None),
        (NGINX, [OLD, INGRESS_NGINX], None),
        (NGINX, [], None),
        ("higress.io/higress-controller", [], True),
        ("traefik.io/ingress-controller", [GOOD], False),
        ("nginx.org/ingress-controller", [], False),
        ("example.com/mine", [GOOD], False),
    ],
)
def test_verdict(controller: str, running: list[Running], honours: bool | None) -> None:
    assert judge("web", controller, running).honours_canary is honours


def test_refusal_names_what_was_found_and_what_would_do() -> None:
    with pytest.raises(Rejected) as told:
        require_canary(judge("web", NGINX, [OLD]))
    text = str(told.value)
    assert "Traefik v3.6.4 (Deployment kube-system/traefik) ignores canary annotations" in text
    assert "Traefik >= 3.7" in text
    with pytest.raises(Rejected, match=r"example\.com/mine is unknown"):
        require_canary(judge("web", "example.com/mine", []))


def test_what_only_trying_tells_is_not_refused() -> None:
    require_canary(judge("web", NGINX, []))
