from __future__ import annotations

from mlk8s.loadgen.bound import Bound

OK, BAD = ("ok", 200, "1"), ("http_5xx", 503, "1")


def test_a_test_ends_when_the_share_of_failures_is_above_the_bound() -> None:
    bound = Bound(0.5)
    assert bound.broken({OK: 60}) is None
    assert bound.broken({BAD: 60}) is None, "half is not above half"
    assert bound.broken({BAD: 1}) == "61 of 121 requests of the last 3 s failed; the bound is 0.5"


def test_only_the_last_ten_seconds_count() -> None:
    bound = Bound(0.5)
    assert bound.broken({OK: 1000}) is None
    assert all(bound.broken({BAD: 60}) is None for _ in range(9))
    assert bound.broken({BAD: 60}) is not None


def test_few_requests_decide_nothing_and_1_never_stops() -> None:
    assert Bound(0.1).broken({BAD: 49}) is None
    assert Bound(1.0).broken({BAD: 500}) is None
    assert Bound(0.1).broken({}) is None
