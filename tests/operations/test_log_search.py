"""Which pods a service's name means, and which moments a text means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlk8s.errors import UsageError
from mlk8s.operations.log_search import _POD, Logs, _moment
from mlk8s.storage.credentials import StorageConfig

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pod", "meant"),
    [
        ("iris-5d9cbf8b7f-x2x7p", True),
        ("iris-canary-5d9cbf8b7f-x2x7p", True),
        ("iris-blue-5d9cbf8b7f-x2x7p", True),
        ("iris-0", True),
        ("iris-x2x7p", True),
        ("iris-0-x2x7p", True),
        ("iris-29924460-x2x7p", True),
        ("iris-0123456789-12-x2x7p", True),
        ("iris-db-5d9cbf8b7f-x2x7p", False),
        ("my-iris-5d9cbf8b7f-x2x7p", False),
        ("iris", False),
        ("iris2-5d9cbf8b7f-x2x7p", False),
    ],
)
def test_a_service_means_the_pods_that_controllers_name_after_it(pod: str, meant: bool) -> None:
    assert (re.fullmatch(_POD.format(name="iris"), pod) is not None) is meant


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10m", NOW - timedelta(minutes=10)),
        (90, NOW - timedelta(seconds=90)),
        (timedelta(days=2), NOW - timedelta(days=2)),
        ("2026-11-23T08:00:00Z", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        (datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(value: object, expected: datetime) -> None:
    assert _moment("since", value, NOW) == expected  # type: ignore[arg-type]


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(UsageError, match="since is 'yesterday'"):
        _moment("since", "yesterday", NOW)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"since": "2h", "until": "3h", "source": "s3://logs/pods"}, "since 2h is later than until 3h"),
        ({"source": "logs/pods"}, "source is 'logs/pods'"),
        ({"service": "iris", "pod": "iris-*"}, "service and pod are both given"),
    ],
)
def test_a_wish_that_nothing_fulfils_is_refused_before_anything_is_asked(
    wish: dict[str, Any], words: str
) -> None:
    nowhere: Any = None  # no cluster is asked
    storage = StorageConfig(endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="b")
    with pytest.raises(UsageError, match=words):
        Logs(nowhere, lambda: storage).search("x", **wish)
