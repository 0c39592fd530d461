"""Search the lines that the log collector has shipped, also those of pods that are gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Forbidden, NotFound, UsageError
from mlk8s.render.common import KIND
from mlk8s.render.logs import LOGS
from mlk8s.spec.fields import parse_duration
from mlk8s.spec.logs import LogCollector
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.log_lines import LogLine, search

Moment = datetime | timedelta | str | float

# POD of Deployment SERVICE, its canary and its colours; of a StatefulSet, DaemonSet or Job of that name.
_POD = r"{name}(-canary|-blue|-green)?(-[a-z0-9]{{1,10}})?(-\d+)?-[a-z0-9]{{5}}|{name}-\d+(-[a-z0-9]{{5}})?"


class Logs:
    """The shipped lines of one cluster, straight from its object storage."""

    def __init__(self, cluster: Cluster, storage: Callable[[], StorageConfig]) -> None:
        self._cluster, self._storage = cluster, storage

    def search(
        self,
        text: str | re.Pattern[str] = "",
        *,
        namespace: str | None = None,
        service: str | None = None,
        pod: str | None = None,
        container: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
        source: str | None = None,
    ) -> Iterator[LogLine]:
        """Return the lines that match, (time, namespace, pod, container, line), oldest first, as an iterator.

        A line is there some seconds after it was written (`LogCollector.flush`), and stays when its pod has
        gone. Each line is told once. Objects are read only as far as the iterator is.

        Args:
            text: looked for as it is, or a compiled regular expression; empty matches every line.
            namespace, container: a name, or a pattern with `*` and `?`; None means all.
            service: a workload's pods, by the names that its controller gives them: a Deployment's with its
                canary and colours, a StatefulSet's, DaemonSet's or Job's.
            pod: instead of `service`: a name, or a pattern with `*` and `?`.
            since, until: a time, or so long ago ('10m', seconds, a timedelta).
            limit: lines at most, the oldest.
            source: s3://... of the lines; None means where this cluster's collector writes.

        Raises:
            NotFound: the cluster has no collector, and no source is given.
            UsageError: service and pod are both given, a time that is none, or a source that is no address.
            StorageError: object storage refused, or did not answer.
        """
        found = _search(
            self._cluster, self._storage(), text, namespace, service, pod, container, since, until, source
        )
        if limit is not None and limit < 1:
            raise UsageError(f"limit is {limit}", expected="1 or more")
        return islice(found, limit)


def _search(
    cluster: Cluster, storage: StorageConfig, text: str | re.Pattern[str], namespace: str | None,
    service: str | None, pod: str | None, container: str | None, since: Moment | None, until: Moment | None,
    source: str | None,
) -> Iterator[LogLine]:  # fmt: skip
    if service is not None and pod is not None:
        raise UsageError("service and pod are both given", expected="one of them")
    if source is not None and not source.startswith("s3://"):
        raise UsageError(f"source is {source!r}", expected="s3://BUCKET/PATH of lines that a collector wrote")
    now = datetime.now(UTC)
    begin = None if since is None else _moment("since", since, now)
    end = now + timedelta(days=1) if until is None else _moment("until", until, now)
    if begin is not None and begin > end:
        raise UsageError(f"since {since} is later than until {until}", expected="since before until")
    wanted = re.compile(_POD.format(name=re.escape(service))) if service is not None else pod
    return search(
        source or _source(cluster),
        re.compile(re.escape(text)) if isinstance(text, str) else text,
        namespace=namespace,
        pod=wanted,
        container=container,
        since=begin,
        until=end,
        config=storage,
    )


def _source(cluster: Cluster) -> str:
    """Return where this cluster's collector writes; the default where we may not look.

    Raises:
        NotFound: there is no collector.
    """
    try:
        found = cluster.list("DaemonSet", labels=f"{KIND}=LogCollector", all_namespaces=True)
    except Forbidden:
        return str(LogCollector().output)
    if not found:
        raise NotFound(
            "no log collector runs in this cluster",
            where=f"context {cluster.context!r}",
            expected="a DaemonSet that `LogCollector` made",
            next_step="k8s.apply(mlk8s.LogCollector()), or give source='s3://...' of lines that are there",
        )
    return str(found[0]["metadata"].get("annotations", {}).get(LOGS) or LogCollector().output)


def _moment(name: str, value: Moment, now: datetime) -> datetime:
    """Return a moment: a time, or so long ago ('10m', seconds, a timedelta)."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.astimezone()
    if isinstance(value, timedelta):
        return now - value
    try:
        return now - timedelta(seconds=parse_duration(value))
    except ValueError:
        pass
    try:
        then = datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(
            f"{name} is {value!r}", expected="so long ago, such as '10m', or a time, 2026-11-24T10:00:00Z"
        ) from None
    return then if then.tzinfo else then.replace(tzinfo=UTC)
