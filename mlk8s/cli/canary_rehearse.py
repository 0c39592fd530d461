"""`mlk8s canary rehearse`: how often a policy would have been wrong, before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.analysis_options import (
    Alpha,
    Bake,
    Beta,
    BlockLength,
    Deadline,
    Failures,
    Margin,
    MaxHarmed,
    MaxWeight,
    MinWeight,
    PromoteFrom,
    Steps,
    analysis_of,
    option,
)
from mlk8s.cli.canary_run import Name
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, seconds
from mlk8s.cli.output import show
from mlk8s.cli.promise import P50, P90, P95, P99, Errors
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.assess.evidence.rehearse import Regression
    from mlk8s.operations.canary_rehearse import Rehearsal

_PANEL = "Rehearsal"


def rehearse(
    name: Name,
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    since: Annotated[
        str | None,
        option("--since", "DURATION", "How much of what Prometheus remembers is replayed (1h).", _PANEL),
    ] = None,
    record: Annotated[
        Path | None,
        option("--record", "DIR", "A rollout's evidence instead of what Prometheus remembers.", _PANEL),
    ] = None,
    against: Annotated[
        list[Path] | None,
        option(
            "--against", "FILE", "Flagger Canary or Argo AnalysisTemplate (YAML) to score beside it.", _PANEL
        ),
    ] = None,
    inject: Annotated[
        list[str] | None,
        option(
            "--inject",
            "errors=0.05,after=5m",
            "A regression: errors=, slow= (shares), after=; four of them without.",
            _PANEL,
        ),
    ] = None,
    replays: Annotated[int, option("--replays", "N", "Replays of each regression and policy.", _PANEL)] = 100,
    steps: Steps = None,
    max_harmed: MaxHarmed = None,
    alpha: Alpha = None,
    beta: Beta = None,
    margin: Margin = None,
    failures: Failures = None,
    block: BlockLength = None,
    bake: Bake = None,
    deadline: Deadline = None,
    min_weight: MinWeight = None,
    max_weight: MaxWeight = None,
    promote_from: PromoteFrom = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Replay a service's recorded requests through a policy, with regressions injected.

    Tells how often it would have promoted what is bad and rolled back what is not, after how long, and how
    many requests would have been harmed; the rules of Flagger and Argo, from their own YAML, beside it.
    """
    analysis = analysis_of(
        {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "errors": errors},
        steps=steps, failures=failures, max_harmed=max_harmed, alpha=alpha, beta=beta, margin=margin,
        block=block, bake=bake, deadline=deadline, min_weight=min_weight, max_weight=max_weight,
        promote_from=promote_from,
    )  # fmt: skip
    if record is not None and since is not None:
        raise UsageError("--record and --since are both given", expected="one of them")
    if not 1 <= replays <= 10_000:
        raise UsageError(f"--replays {replays}", expected="1 to 10,000")
    others = [rule for path in against or () for rule in rules(path)]
    injected = [regression(text) for text in inject or ()]
    canary = open_namespace(context, namespace, kubeconfig).service(name).running_canary()
    found = canary.rehearse(
        analysis, record or seconds(since, 3_600.0), rules=others, regressions=injected, replays=replays
    )
    show(found.to_dict(), output, table(found))


def table(found: Rehearsal) -> str:
    """Return the rehearsal as a table for a terminal."""
    rows: list[tuple[str, ...]] = [
        ("injected", "policy", "promoted", "rolled back", "open", "after", "requests", "harmed", "")
    ]
    for row in found.rows:
        wrong = max(row.wrong_promotions, row.wrong_rollbacks)
        shares = (row.promoted, row.rolled_back, row.inconclusive)
        rows.append(
            (
                row.regression.name,
                row.policy,
                *(f"{100 * share:.3g} %" for share in shares),
                f"{row.seconds / 60:.1f} min",
                f"{row.requests:,.0f}",
                f"{row.harmed:.1f}",
                f"{100 * wrong:.3g} % wrong" if wrong else "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        padded = [
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    first = str(found).partition("\n")[0]
    return "\n".join([first, *found.notes, "", *lines])


def rules(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a YAML file.

    Raises:
        UsageError: it cannot be read, or has none.
    """
    import yaml

    try:
        items = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"it cannot be read: {error}", where=str(path), expected="YAML") from None
    found = [item for item in items if isinstance(item, dict)]
    if not found:
        raise UsageError(
            "there is no object in it", where=str(path), expected="a Flagger Canary or an AnalysisTemplate"
        )
    return found


def regression(text: str) -> Regression:
    """Return the regression of `errors=0.05,after=5m`.

    Raises:
        UsageError: it is none.
    """
    from mlk8s.assess.evidence.rehearse import Regression

    values: dict[str, float] = {}
    for item in text.split(","):
        key, _, value = item.partition("=")
        try:
            values[key.strip()] = seconds(value, 0.0) if key.strip() == "after" else float(value)
        except ValueError:
            values["?"] = 0.0
    failed, slow = values.get("errors", 0.0), values.get("slow", 0.0)
    if not values.keys() <= {"errors", "slow", "after"} or not (0 <= failed <= 1 and 0 <= slow <= 1):
        raise UsageError(f"--inject {text!r}", expected="errors=0.05, slow=0.1 (shares), after=5m")
    return Regression(text, failed, slow, values.get("after", 0.0))


def register(group: typer.Typer) -> None:
    """Add the command to `mlk8s canary`."""
    group.command("rehearse")(rehearse)
