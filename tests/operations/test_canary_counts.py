"""From Prometheus' samples to what the judge reads: pods without requests, predictions only."""

from __future__ import annotations

import re
from typing import Any

from mlk8s.assess.evidence import read_block
from mlk8s.clients.prometheus import Samples
from mlk8s.operations.canary_counts import (
    Counts,
    ingress_selector,
    selector,
    series,
    started,
    unanswered,
)
from mlk8s.series import REQUESTS

POD, STABLE = "iris-canary-5f6d7c8b9-abcde", "iris-7c8b9d5f6-xyz12"


def sample(name: str, pod: str, *points: tuple[float, float], **labels: str) -> Samples:
    return Samples({"__name__": name, "pod": pod, **labels}, list(points))


def test_selector_asks_for_predictions_of_both_versions_in_one_query() -> None:
    text = selector("iris", "ml", {"p99": 0.1, "p50": 1.0}, 10.0)
    assert text.endswith("[30s]")
    assert 'namespace="ml",pod=~"iris(-canary|-green)?-[a-z0-9]+-[a-z0-9]+"' in text
    assert 'le=~"|0[.]1([.]0)?|1([.]0)?"' in text
    assert 'route=~"|.*/infer"' in text
    assert selector("iris", "ml", {}, 20.0).endswith("[60s]")


def test_pods_belong_to_their_version_by_name() -> None:
    counts = Counts(None, "iris", "ml", {}, 10.0)  # type: ignore[arg-type]
    assert counts.version_of({"pod": POD}) == "canary"
    assert counts.version_of({"pod": STABLE}) == "stable"
    assert counts.version_of({"pod": "iris-green-5f6d7c8b9-abcde"}) is None
    assert counts.version_of({}) is None


def test_what_only_the_ingress_controller_answered_is_a_failed_request() -> None:
    text = ingress_selector("iris", "ml", 10.0)
    (ways,) = re.findall(r'service=~"(.+)"', text)
    prefix = "httproute-ml-iris-gw-mlk8s-system-traefik-ep-web-0-2a17-svc-ml-iris"
    versions = {
        "ml-iris-iris-http@kubernetesingressnginx": "stable",
        "ml-iris-iris-http-canary@kubernetesingressnginx": "canary",
        f"{prefix}-0@kubernetesgateway": "stable",
        f"{prefix}-canary-1@kubernetesgateway": "canary",
    }
    counts = Counts(None, "iris", "ml", {}, 10.0)  # type: ignore[arg-type]
    for service, version in versions.items():
        assert re.fullmatch(ways, service)
        assert counts.version_of({"traefik_service": service}) == version
    for other in ("ml-iris2-iris2-http@kubernetesingressnginx", "ml-iris-shadow-8080@kubernetescrd"):
        assert not re.fullmatch(ways, other)
    counts.switched = True
    assert counts.version_of({"traefik_service": next(iter(versions))}) == "canary"
    counts.switched = False

    def answered(code: str, *points: tuple[float, float]) -> Samples:
        return sample("traefik_service_requests_total", "traefik-1", *points, code=code,
                      service="ml-iris-iris-http-canary@kubernetesingressnginx")  # fmt: skip

    options: dict[str, Any] = {"seconds": 10.0, "weight": 10, "version_of": counts.version_of, "edges": {}}
    cursor, _ = read_block(None, unanswered([answered("200", (1.0, 5.0))]), start=0.0, **options)
    later = [answered("200", (1.0, 5.0), (15.0, 9.0)), answered("502", (15.0, 3.0))]
    up = series([sample("up", POD, (15.0, 1.0))])
    _, block = read_block(cursor, [*up, *unanswered(later)], start=10.0, **options)
    assert (block.canary.requests, block.canary.errors, block.missing) == (3, 3, False)
    assert any("had no answer but the controller's" in note for note in block.notes)
    _, unseen = read_block(cursor, unanswered(later), start=10.0, **options)
    assert (unseen.canary.errors, unseen.missing) == (3, False), "they are known without a scrape of the pod"
    _, nothing = read_block(cursor, unanswered(later[:1]), start=10.0, **options)
    assert nothing.missing, "what the controller passed on does not show that the canary was scraped"


def test_pod_that_was_scraped_and_answered_nothing_has_no_requests_rather_than_none_seen() -> None:
    up = [sample("up", POD, (1.0, 1.0), (3.0, 1.0)), sample("up", STABLE, (1.0, 1.0), (3.0, 0.0))]
    version = Counts(None, "iris", "ml", {}, 10.0).version_of  # type: ignore[arg-type]
    cursor, _ = read_block(
        None, series(up), start=2.0, seconds=0.0, weight=0, version_of=version, edges={}, started=started(up)
    )
    first = sample(f"{REQUESTS}_count", POD, (5.0, 7.0), code="200", route="/infer")
    later = [sample("up", POD, (5.0, 1.0)), first]
    cursor, block = read_block(
        cursor, series(later), start=2.0, seconds=4.0, weight=5, version_of=version, edges={}
    )
    assert not block.missing
    assert block.canary.requests == 7, "the counter appeared after the pod was known: it began at zero"
    _, block = read_block(cursor, [], start=6.0, seconds=4.0, weight=5, version_of=version, edges={})
    assert block.missing, "nothing was scraped"


def test_start_of_processes_is_read_by_pod() -> None:
    found = [
        sample("process_start_time_seconds", POD, (1.0, 99.5), (2.0, 99.5)),
        sample("up", POD, (1.0, 1.0)),
    ]
    assert started(found) == {POD: 99.5}
