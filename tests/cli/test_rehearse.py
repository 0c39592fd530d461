"""What `mlk8s canary rehearse` reads and prints; the cluster's part is in the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlk8s.assess.evidence.rehearse import NONE, Regression, Rehearsed
from mlk8s.cli.canary_rehearse import regression, rules, table
from mlk8s.errors import UsageError
from mlk8s.operations.canary_rehearse import Rehearsal


@pytest.mark.parametrize(
    ("text", "errors", "slow", "after"),
    [("errors=0.05", 0.05, 0.0, 0.0), ("slow=0.1,after=5m", 0.0, 0.1, 300.0), ("errors=1", 1.0, 0.0, 0.0)],
)
def test_a_regression_is_read(text: str, errors: float, slow: float, after: float) -> None:
    assert regression(text) == Regression(text, errors, slow, after)


@pytest.mark.parametrize("text", ["errors=5", "fast=0.1", "errors", "errors=-1", ""])
def test_what_is_no_regression_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--inject") as told:
        regression(text)
    assert "errors=0.05" in str(told.value)


def test_rules_are_read_from_every_document_of_a_file(tmp_path: Path) -> None:
    place = tmp_path / "rules.yaml"
    place.write_text("kind: Canary\n---\nkind: AnalysisTemplate\n---\n")
    assert [rule["kind"] for rule in rules(place)] == ["Canary", "AnalysisTemplate"]
    for text, why in (("", "no object"), ("a: [", "cannot be read")):
        place.write_text(text)
        with pytest.raises(UsageError, match=why):
            rules(place)


def test_the_table_names_what_was_wrong() -> None:
    values = {
        "replays": 10,
        "inconclusive": 0.0,
        "seconds": 60.0,
        "delay": None,
        "requests": 1234,
        "harmed": 2.0,
    }
    good = Rehearsed(policy="evidence", regression=NONE, bad=False, promoted=1.0, rolled_back=0.0, **values)
    bad = Rehearsed(
        policy="theirs", regression=Regression("5 % fail"), bad=True, promoted=0.4, rolled_back=0.6, **values
    )
    lines = table(Rehearsal((good, bad), 30, 4_000, ("a note",))).splitlines()
    assert lines[0].startswith("4,000 requests in 30 blocks")
    assert lines[1] == "a note"
    assert "1,234" in lines[-1]
    assert lines[-1].endswith("40 % wrong")
    assert "wrong" not in lines[-2]
