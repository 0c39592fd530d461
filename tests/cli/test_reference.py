"""docs/cli.md is what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

from mlk8s.cli.documents import read_specs
from mlk8s.cli.reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_document_is_not_older_than_the_commands() -> None:
    assert DOCUMENT.read_text() == reference(), "run `make docs`"


def test_every_command_has_a_section() -> None:
    sections = set(re.findall(r"^## mlk8s (.+)$", reference(), re.MULTILINE))
    assert sections == {
        "up", "down", "status", "doctor", "deploy", "services", "predict", "undo", "delete", "alerts",
        "dashboard", "events", "logs", "exec", "port-forward", "search-logs", "metric add", "metric list",
        "metric remove", "export", "loadtest", "report", "compare", "merge", "size",
        "demo", "why", "lint", "apply", "diff", "secret create", "config create",
        "tenant create", "tenant kubeconfig", "tls create", "rollout history", "rollout undo",
        "rollout pause", "rollout resume", "rollout restart", "rollout status", "canary start",
        "canary status", "canary weight", "canary promote", "canary rollback", "canary run",
        "canary resume", "canary hold", "canary watch", "canary abort", "canary replay", "canary shadow",
        "canary outcomes", "canary rehearse", "bluegreen run", "bluegreen watch", "bluegreen abort",
        "bluegreen status",
        "bluegreen switch", "bluegreen back", "bluegreen finish", "image build", "job run", "cron apply",
        "cron trigger",
    }  # fmt: skip


def test_the_example_of_the_document_can_be_read(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "spec.yaml").write_text(example[1])
    (tmp_path / "features.py").write_text("def build():\n    return {}\n")
    assert [type(spec).__name__ for spec in read_specs(str(tmp_path / "spec.yaml"))] == [
        "ModelService",
        "FeatureCronJob",
    ]
