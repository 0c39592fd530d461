"""Was the promise kept? An Slo against what a load test counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlk8s.spec.load import Slo

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Check:
    """One bound of an Slo and what was observed.

    Attributes:
        name: 'p99' or 'errors'.
        bound: largest accepted value: seconds, or a share 0 to 1.
        observed: the same of the test; None when too little was seen to tell.
        held: whether the bound was kept; None when too little was seen.
    """

    name: str
    bound: float
    observed: float | None
    held: bool | None

    def __str__(self) -> str:
        word = {True: "held", False: "broken", None: "not enough requests to tell"}[self.held]
        return (
            f"{self.name} {_shown(self.name, self.observed)} (bound {_shown(self.name, self.bound)}): {word}"
        )


@dataclass(frozen=True)
class SloVerdict:
    """The verdict on a whole load test: `held` is None (inconclusive) where a bound cannot be judged."""

    checks: tuple[Check, ...]

    @property
    def held(self) -> bool | None:
        outcomes = [check.held for check in self.checks]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    @property
    def word(self) -> str:
        return {True: "held", False: "broken", None: "inconclusive"}[self.held]

    @property
    def exit_code(self) -> int:
        """0 when the promise was held, else 1."""
        return 0 if self.held else 1

    def __str__(self) -> str:
        return f"SLO {self.word}: " + "; ".join(str(check) for check in self.checks)


def assess_slo(slo: Slo, *, requests: int, ok: int, latency: Mapping[str, float | None]) -> SloVerdict:
    """Compare bounds with observations.

    A percentile needs at least one request above it (100 for p99), and an error bound at least one request;
    with fewer the check is undecided: no traffic is neither a success nor a failure. Failed requests have no
    latency; they count in the error rate only.

    Args:
        requests: ended requests.
        ok: those with a right answer.
        latency: percentiles of right answers by name, in seconds.
    """
    checks = []
    for name, bound in slo.latency.items():
        observed = latency.get(name)
        enough = ok * (1 - SHARES[name]) >= 1 - 1e-9
        held = observed <= bound if enough and observed is not None else None
        checks.append(Check(name, bound, observed, held))
    if slo.errors is not None:
        rate = (requests - ok) / requests if requests else None
        checks.append(Check("errors", slo.errors, rate, None if rate is None else rate <= slo.errors))
    return SloVerdict(tuple(checks))


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.3g} %" if name == "errors" else f"{1000 * value:.4g} ms"
