"""How findings look."""

from __future__ import annotations

from mlk8s.assess.doctor import Finding
from mlk8s.cli.doctor import table


def test_a_narrow_terminal_folds_under_the_text() -> None:
    findings = [Finding("nodes", "ok", "1 ready"), Finding("Pod Security", "warn", "word " * 30, "do " * 20)]
    lines = table(findings, width=60).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[0] == "ok       nodes        1 ready"
    assert all(line.startswith(" " * 22) for line in lines[2:])
    assert sum("→" in line for line in lines) == 1


def test_without_a_terminal_each_finding_is_one_line_and_one_more_for_what_to_do() -> None:
    assert len(table([Finding("a", "fail", "x " * 200, "y")]).splitlines()) == 2
