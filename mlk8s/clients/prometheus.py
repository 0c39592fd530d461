"""Prometheus, asked through the API server's service proxy: no port has to be open for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, NotFound, Unreachable, UsageError


@dataclass(frozen=True)
class Sample:
    """One series of an instant query: its labels and its value."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Samples:
    """One series of a range selector: its labels, and (second since the epoch, value) of each scrape."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """One Prometheus in the cluster.

    Args:
        cluster: the cluster it runs in.
        place: 'NAMESPACE/SERVICE:PORT', as `Platform.prometheus` has it.
        direct: ask the Service itself, as a pod can: that takes no right to the API server's proxy.
    """

    def __init__(self, cluster: Cluster, place: str, *, direct: bool = False) -> None:
        self._cluster = cluster
        self.place, self._direct = place, direct
        self._namespace, _, service = place.partition("/")
        self._service = f"http:{service}"

    def query(self, expression: str, *, timeout: float = 3.0) -> list[Sample]:
        """Return the series of an instant query (PromQL); values that are not a number are left out.

        Raises:
            ClusterError: Prometheus is not there, does not answer within `timeout` seconds, or refuses the
                expression.
        """
        data = self._ask(expression, timeout)
        if data["resultType"] == "scalar":
            found = [Sample({}, float(data["result"][1]))]
        else:
            found = [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]
        return [sample for sample in found if not isnan(sample.value)]

    def samples(self, selector: str, *, timeout: float = 3.0) -> list[Samples]:
        """Return what was scraped of the series of a range selector, `NAME{...}[30s]`, with its true times.

        Raises:
            ClusterError: as `query`.
            UsageError: it is no range selector.
        """
        data = self._ask(selector, timeout)
        if data["resultType"] != "matrix":
            raise UsageError("no range selector", where=selector, expected="NAME{...}[30s]")
        return [
            Samples(item["metric"], [(float(at), float(value)) for at, value in item["values"]])
            for item in data["result"]
        ]

    def _ask(self, expression: str, timeout: float) -> Any:
        try:
            body = orjson.loads(self._get("/api/v1/query", {"query": expression}, timeout))
        except NotFound:
            raise NotFound(
                "there is no Prometheus",
                where=self.place,
                next_step="`mlk8s doctor` shows what the cluster has",
            ) from None
        except orjson.JSONDecodeError:
            raise ClusterError("Prometheus answered something else than JSON", where=self.place) from None
        if body.get("status") != "success":
            raise ClusterError(f"Prometheus refused the query: {body.get('error')}", where=expression)
        return body["data"]

    def rules(self, *, timeout: float = 3.0) -> dict[str, list[dict[str, Any]]]:
        """Return the rules that are loaded, by their group's name, as /api/v1/rules has them.

        Raises:
            ClusterError: Prometheus is not there, or does not answer within `timeout` seconds.
        """
        groups = orjson.loads(self._get("/api/v1/rules", None, timeout))["data"]["groups"]
        return {group["name"]: group["rules"] for group in groups}

    def _get(self, path: str, query: dict[str, Any] | None, timeout: float) -> bytes:
        if not self._direct:
            return self._cluster.service_proxy(self._namespace, self._service, path, query, timeout)
        import urllib3

        name, _, port = self._service.removeprefix("http:").partition(":")
        try:
            answer = urllib3.request(
                "GET", f"http://{name}.{self._namespace}.svc:{port}{path}", fields=query,
                timeout=urllib3.Timeout(total=timeout), retries=False, redirect=False,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            text = f"Prometheus does not answer: {type(error).__name__}"
            raise Unreachable(text, where=self.place) from None
        return answer.data
