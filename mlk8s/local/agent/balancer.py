"""Addresses for Services of type LoadBalancer: one each, of a network that the machine routes to the node.

kube-proxy does the rest: a packet for an address in a Service's status goes to the Service's pods. A Service
that names another load balancer's class is left to that.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Iterable

from mlk8s.local.agent.api import Api, ApiError, Mirror, Object

_log = logging.getLogger(__name__)

CLASS = "mlk8s.dev/local-balancer"


def _reduce(service: Object) -> Object:
    metadata, spec = service["metadata"], service["spec"]
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "made": metadata["creationTimestamp"],
        "ours": spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") in (None, CLASS),
        "addresses": [item.get("ip") for item in balancer.get("ingress") or []],
    }


def assign(services: Iterable[Object], network: str) -> list[tuple[Object, str | None]]:
    """Return what has to change: each Service with its new address, None where it has to give one back; pure.

    An address that a Service has stays. Where two have the same, the older one keeps it.

    Args:
        services: as reduced by the mirror.
        network: CIDR of the addresses; the first and the last are not used.
    """
    pool = ipaddress.ip_network(network)
    taken: set[str] = set()
    waiting: list[Object] = []
    changes: list[tuple[Object, str | None]] = []
    for item in sorted(services, key=lambda item: (item["made"], item["namespace"], item["name"])):
        mine = [text for text in item["addresses"] if text and ipaddress.ip_address(text) in pool]
        if not item["ours"]:
            changes += [(item, None)] if mine else []
        elif len(mine) == 1 and mine[0] not in taken:
            taken.add(mine[0])
        else:
            waiting.append(item)
    free = (text for text in map(str, pool.hosts()) if text not in taken)
    for item, address in zip(waiting, free, strict=False):  # a Service too many stays pending
        changes.append((item, address))
    return changes


class Balancer:
    """Gives LoadBalancer Services their addresses.

    Args:
        api: connection.
        network: CIDR of the addresses.
    """

    def __init__(self, api: Api, network: str) -> None:
        self._api, self._network = api, network
        self._work = threading.Event()
        self._services = Mirror(api, "/api/v1/services", _reduce, self._work.set)

    def start(self) -> None:
        self._services.start()
        threading.Thread(target=self._run, name="balancer", daemon=True).start()

    def _run(self) -> None:
        self._services.synced.wait()
        while True:
            self._work.wait()
            self._work.clear()
            try:
                for item, address in assign(self._services.objects.values(), self._network):
                    self._tell(item, address)
            except ApiError as error:
                _log.warning("%s", error)
                time.sleep(1)
                self._work.set()

    def _tell(self, item: Object, address: str | None) -> None:
        path = f"/api/v1/namespaces/{item['namespace']}/services/{item['name']}/status"
        ingress = None if address is None else [{"ip": address, "ipMode": "VIP"}]
        try:
            self._api.merge(path, {"status": {"loadBalancer": {"ingress": ingress}}})
        except ApiError as error:
            if error.status != 404:  # it has just been deleted
                raise
