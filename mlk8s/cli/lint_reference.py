"""docs/lint.md from the rules themselves: `python -m mlk8s.cli.lint_reference > docs/lint.md`."""

from __future__ import annotations

from mlk8s.assess.lint import FAMILIES, RULES
from mlk8s.assess.lint.model import Rule

_HEAD = """# Rules of the linter

<!-- Made by `make docs` from the rules themselves; edit those. -->

`mlk8s lint` holds manifests to these rules; [the guide](guide/lint.md) says how. They stand for the checks of
kube-linter, kube-score, Polaris, kubesec, Kyverno's pod-security policies and the Pod Security Standard
`restricted`, and for the common mistakes that none of them tells. An `error` breaks, opens or loses something; a
`warning` is likely to.

Beside the rules: `schema` (the fields of a kind, by Kubernetes' OpenAPI), `server` (what the API server says, with
`--server`), `waiver` (a waiver without a reason, or of no rule), `unused-waiver` (a waiver that waives nothing).
"""

_TAIL = """## What is not asked, and why

| check of a peer | why not |
|---|---|
| a CPU limit (kube-linter, Polaris, kubesec) | it slows a pod down on an idle node; the request decides when CPU is short |
| `imagePullPolicy: Always` (kube-score, Polaris) | of a tag that stays what it is, it only makes each start need the registry |
| a priority class (Polaris) | without one a pod has the cluster's default, which is right for most |
| three replicas (kube-linter) | two survive the loss of a node; three are the user's choice |
| a NetworkPolicy in both directions for what has no pods | there is nothing to isolate |
"""


def lint_reference() -> str:
    """Return the whole of docs/lint.md."""
    parts = [_HEAD]
    for module in FAMILIES:
        family = module.__name__.rpartition(".")[2]
        words = (module.__doc__ or "").strip().splitlines()[0]
        rows = [_row(item) for item in RULES.values() if item.family == family]
        head = ["| rule | | asks | stands for | standard |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## {family.capitalize()}", "", words, "", *head, *rows, ""]))
    return "\n".join([*parts, _TAIL])


def _row(rule: Rule) -> str:
    cells = (f"`{rule.id}`", rule.severity, rule.sentence, rule.peers, rule.standard)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(lint_reference(), end="")
