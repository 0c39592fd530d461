from __future__ import annotations

import pytest

from mlk8s.assess.slo import assess_slo
from mlk8s.spec.load import Slo


def latency(p99: float | None, p50: float | None = 0.01) -> dict[str, float | None]:
    return {"p50": p50, "p90": p50, "p95": p50, "p99": p99}


@pytest.mark.parametrize(
    ("requests", "ok", "p99", "held"),
    [
        (1000, 1000, 0.099, True),
        (1000, 1000, 0.1, True),  # the bound itself is held
        (1000, 1000, 0.101, False),
        (1000, 989, 0.05, False),
        (1000, 990, 0.05, True),
        (99, 99, 0.05, None),  # no request is above the 99th of 99
        (0, 0, None, None),
        (50, 0, None, False),  # all failed: the error bound alone is broken
    ],
)
def test_verdict(requests: int, ok: int, p99: float | None, held: bool | None) -> None:
    slo = Slo(p99="100ms", errors=0.01)
    verdict = assess_slo(slo, requests=requests, ok=ok, latency=latency(p99))
    assert verdict.held is held
    assert verdict.exit_code == (0 if held else 1)


def test_the_words_have_the_numbers() -> None:
    verdict = assess_slo(Slo(p99="100ms", errors=0.01), requests=1000, ok=980, latency=latency(0.05))
    assert str(verdict) == "SLO broken: p99 50 ms (bound 100 ms): held; errors 2 % (bound 1 %): broken"
