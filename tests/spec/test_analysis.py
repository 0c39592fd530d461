"""What an analysis accepts, what it refuses and with which words, and what it works out."""

from __future__ import annotations

from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.spec.analysis import Analysis, Step
from mlk8s.spec.load import Slo

SLO = Slo(errors=0.01)


def test_metrics_are_shares_of_bad_requests() -> None:
    analysis = Analysis(slo=Slo(errors=0.02, p50="10ms", p99="100ms"))
    assert analysis.metrics == {"errors": 0.02, "p50": 0.5, "p99": 0.01}
    assert Analysis(slo=Slo(p95="1s")).metrics == {"p95": 0.05}


def test_weights_come_from_steps_or_from_the_bounds() -> None:
    assert (Analysis(slo=SLO).first_weight, Analysis(slo=SLO).top_weight) == (5, 50)
    stepped = Analysis(slo=SLO, steps=(Step(weight=10, pause="1m"), Step(weight=30)))
    assert (stepped.first_weight, stepped.top_weight, stepped.steps[0].pause) == (10, 30, 60.0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"slo": Slo(errors=0.0)}, "slo.errors is 0; expected more than 0"),
        ({"alpha": 0.5}, "Analysis.alpha"),
        ({"block": "10s", "deadline": "15s", "bake": 0}, "deadline is 15 s; expected 2 to 5,000 blocks"),
        ({"bake": "2h"}, "bake is 7200 s; expected less than the deadline"),
        ({"errors": "independent", "burst": 5}, "burst is 5; expected none with errors='independent'"),
        ({"burst": 1}, "Analysis.burst"),
        ({"steps": (Step(weight=20), Step(weight=10))}, "expected them ascending"),
        ({"steps": (Step(weight=20),), "max_weight": 30}, "belong to a rollout without steps"),
        ({"min_weight": 60}, "min_weight is 60; expected at most max_weight, 50"),
        ({"promote_from": 80}, "promote_from is 80; expected at most the largest weight, 50"),
        ({"max_harmed_requests": 0}, "Analysis.max_harmed_requests"),
        ({"at_deadline": "pray"}, "Analysis.at_deadline"),
    ],
)
def test_what_is_outside_its_range_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words.replace("(", r"\(")):
        Analysis(**({"slo": SLO} | fields))


def test_a_step_needs_a_weight() -> None:
    with pytest.raises(SpecError, match=r"Step\.weight"):
        Step(weight=0)
