"""What a pod says of itself while it is measured, by way of Prometheus; None where nothing tells."""

from __future__ import annotations

from math import ceil, floor

from mlk8s import series
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import ClusterError
from mlk8s.spec.pods import SERVER


class Usage:
    """One pod's requests in flight, CPU and memory.

    Args:
        prometheus: that scrapes it; None where the cluster has none.
        namespace, pod: whose.
    """

    def __init__(self, prometheus: Prometheus | None, namespace: str, pod: str) -> None:
        self._prometheus = prometheus
        self._pod = f'namespace="{namespace}",pod="{pod}"'

    def in_flight(self, seconds: float, ago: float) -> float | None:
        """Return the mean number of requests in the pod over `seconds` that ended `ago` seconds ago."""
        return self._rate(series.IN_FLIGHT_SECONDS, seconds, ago)

    def cpu(self, seconds: float, ago: float) -> float | None:
        """Return the mean CPUs of the pod's server: by its own count, which is exact at each scrape, where it
        has one; else by kubelet's, which is older."""
        own = self._rate("process_cpu_seconds_total", seconds, ago)
        if own is not None:
            return own
        return self._rate("container_cpu_usage_seconds_total", seconds, ago, f',container="{SERVER}"')

    def memory(self, seconds: float) -> float | None:
        """Return the bytes that the pod's server used at most in the last `seconds`."""
        window = f"[{ceil(seconds)}s]"
        return self._value(
            f'max(max_over_time(container_memory_working_set_bytes{{{self._pod},container="{SERVER}"}}{window})'
            f" or max_over_time(process_resident_memory_bytes{{{self._pod}}}{window}))"
        )

    def _rate(self, name: str, seconds: float, ago: float, more: str = "") -> float | None:
        window = f"[{max(1, floor(seconds))}s] offset {max(0, round(ago))}s"
        return self._value(f"sum(rate({name}{{{self._pod}{more}}}{window}))")

    def _value(self, expression: str) -> float | None:
        if self._prometheus is None:
            return None
        try:
            found = self._prometheus.query(expression)
        except ClusterError:
            return None
        return found[0].value if found else None
