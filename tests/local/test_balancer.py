"""Which LoadBalancer Service gets which address."""

from __future__ import annotations

from typing import Any

from mlk8s.local.agent.balancer import assign

NETWORK = "10.9.3.0/29"


def service(name: str, *addresses: str, made: str = "2026-01-01", ours: bool = True) -> dict[str, Any]:
    return {"namespace": "n", "name": name, "made": made, "ours": ours, "addresses": list(addresses)}


def changes(*services: dict[str, Any]) -> dict[str, str | None]:
    return {item["name"]: address for item, address in assign(services, NETWORK)}


def test_each_service_gets_an_address_of_its_own_and_keeps_it() -> None:
    assert changes(service("a"), service("b")) == {"a": "10.9.3.1", "b": "10.9.3.2"}
    assert changes(service("a", "10.9.3.2"), service("b")) == {"b": "10.9.3.1"}
    assert changes(service("a", "10.9.3.2")) == {}


def test_of_two_with_the_same_address_the_older_one_keeps_it() -> None:
    younger, older = service("a", "10.9.3.1", made="2026-01-02"), service("b", "10.9.3.1")
    assert changes(younger, older) == {"a": "10.9.3.2"}


def test_a_service_of_another_class_or_type_gets_none_and_gives_ours_back() -> None:
    assert changes(service("a", ours=False), service("b", "192.0.2.1", ours=False)) == {}
    assert changes(service("a", "10.9.3.1", ours=False)) == {"a": None}


def test_when_no_address_is_left_the_last_services_wait() -> None:
    assert len(changes(*[service(f"s{number}") for number in range(9)])) == 6
