"""A load test as sections of a report, as a notebook view, and in plain words."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from mlk8s.report import moments
from mlk8s.report.alt import milliseconds
from mlk8s.report.html import Report
from mlk8s.report.summary import Scaling, Summary

if TYPE_CHECKING:
    from mlk8s.operations.run import Run

_LATE = 0.002
"""Seconds of the generator's own lag that are worth a word,"""
_LATE_SHARE = 0.1
"""where they are more than this share of the latency that is measured."""


def add_run(run: Run, report: Report | None = None) -> Report:
    """Add the sections of a run to `report`, or to one of its own, and return it."""
    own = report is None
    report = report or Report(run.title, f"{_when(run)} · {run.facts['target']['url']}")
    report.section(
        "Result" if own else run.title,
        text=[partial_words(run), *map(str, run.lost), *_verdict_words(run), run.summary.scaling.sentence()],
        verdict=run.verdict.word if run.verdict else None,
        table=verdict_rows(run),
    )
    picture = run.plot()
    report.section("Load, latency, errors, replicas", figure=picture, text=_captions(run), level=_sub(own))
    curve = run.curve() if _comparable(run) else None
    report.section("Stage by stage", table=stage_rows(run.summary), figure=curve, level=_sub(own))
    report.section("How the replicas followed", table=scaling_rows(run.summary.scaling), level=_sub(own))
    report.section("Totals", table=total_rows(run.summary), text=_versions(run.summary), level=_sub(own))
    if pods := pod_rows(run):
        text = "Seconds since the start of the load; negative for pods that were there before."
        report.section("Pods", text=text, table=pods, level=_sub(own))
    if events := event_rows(run):
        report.section("Autoscaler's events and conditions", table=events, level=_sub(own))
    report.section("Where and with what", table=fact_rows(run), level=_sub(own))
    told = command(run)
    words = "As a command, and in Python." if told else "In Python; the command line cannot say this profile."
    code = f"{told}\n\n{again(run)}" if told else again(run)
    report.section("Do it again", text=words, code=code, level=_sub(own))
    return report


def _comparable(run: Run) -> bool:
    """Whether the stages are points of one curve: three or more, none a ramp, all with the same pods."""
    answered = sum(stage.percentiles["p99"] is not None for stage in run.summary.stages)
    ramps = any(stage.ramp for stage in run.profile.stages)
    scaling = run.summary.scaling
    return answered >= 3 and not ramps and scaling.initial == scaling.highest


def in_words(run: Run) -> str:
    """Return the run as a few lines of text."""
    lines = [run.title]
    if partial := partial_words(run):
        lines.append(partial)
    lines += map(str, run.lost)
    total, found = run.summary.total, run.summary.percentiles
    if total.total:
        lines.append(
            f"{total.total:,} requests, {total.total - total.ok:,} without a right answer; "
            f"p50 {milliseconds(found['p50'])}, p99 {milliseconds(found['p99'])}"
        )
    else:
        lines.append("no request was answered")
    lines.append(run.summary.scaling.sentence())
    if run.verdict:
        lines.append(str(run.verdict))
    lines.append(f"results in {run.directory}")
    return "\n".join(lines)


def notebook_view(run: Run) -> str:
    """Return static HTML for a notebook: it survives saving and papermill."""
    first, *rest = in_words(run).splitlines()
    rows = stage_rows(run.summary)
    parts = [f"<h4>{escape(first)}</h4>", *(f"<p>{escape(line)}</p>" for line in rest)]
    if rows:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
        from mlk8s.report.html import shown

        body = "".join(
            "<tr>" + "".join(f"<td>{escape(shown(value))}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return f"<div>{''.join(parts)}</div>"


def stage_rows(summary: Summary) -> list[dict[str, Any]]:
    """Return a row a stage: rates in requests/s, latency in ms, errors in percent."""
    return [
        {
            "stage": stage.load,
            "seconds": round(stage.seconds),
            "offered/s": None if stage.offered_rps is None else round(stage.offered_rps, 1),
            "sent/s": round(stage.sent_rps, 1),
            "right/s": round(stage.ok_rps, 1),
            "errors": None if stage.error_rate is None else f"{100 * stage.error_rate:.3g} %",
            **{name: milliseconds(value) for name, value in stage.percentiles.items()},
        }
        for stage in summary.stages
    ]


_OUTCOMES = {"ok": "right answer", "shed": "shed: no connection was free in time", "timeout": "time-out"}


def total_rows(summary: Summary) -> list[dict[str, Any]]:
    """Return a row an outcome: how many requests ended how."""
    total = summary.total
    rows = [{"requests": "sent", "count": summary.sent, "share of ended": None}]
    for outcome, count in sorted(total.outcomes.items(), key=lambda item: (item[0] != "ok", item[0])):
        name = _OUTCOMES.get(outcome, outcome.replace("_", " "))
        rows.append(
            {"requests": name, "count": count, "share of ended": f"{100 * count / total.total:.3g} %"}
        )
    if summary.unanswered:
        rows.append(
            {"requests": "due, end not recorded", "count": summary.unanswered, "share of ended": None}
        )
    return rows


def scaling_rows(scaling: Scaling) -> dict[str, str]:
    """Return the times and counts of a run's scaling, in words with their units."""

    def since(value: int | None) -> str:
        return "–" if value is None else f"{value} s after the start of the load"

    rows = {
        "more replicas wanted": since(scaling.first_wish),
        "first new pod ready": since(scaling.first_ready),
        f"all {scaling.highest} ready": since(scaling.highest_ready),
        "back at the first number": since(scaling.back)
        + ("" if scaling.down_lag is None else f", {scaling.down_lag} s after it had fallen"),
        "overshoot": "–" if scaling.overshoot is None else f"{scaling.overshoot} replicas",
        "changes of direction": str(scaling.reversals),
        "replicas × time": f"{scaling.replica_seconds:,} replica-seconds",
        "requests without a right answer": f"{scaling.lost:,}",
    }
    if scaling.outside_slo is not None:
        rows["outside the SLO"] = f"{scaling.outside_slo} s"
    return rows if scaling.initial is not None else {}


def verdict_rows(run: Run) -> list[dict[str, Any]] | None:
    """Return a row a bound of the SLO."""
    if run.verdict is None:
        return None
    words = {True: "held", False: "broken", None: "too few requests"}
    rows = []
    for check in run.verdict.checks:
        percent = check.name == "errors"
        observed = check.observed
        rows.append(
            {
                "bound": check.name,
                "promised": f"{100 * check.bound:.3g} %" if percent else milliseconds(check.bound),
                "observed": (
                    "–"
                    if observed is None
                    else f"{100 * observed:.3g} %"
                    if percent
                    else milliseconds(observed)
                ),
                "verdict": words[check.held],
            }
        )
    return rows


def pod_rows(run: Run) -> list[dict[str, Any]]:
    """Return a row a pod with the times of its start, in seconds since the start of the load."""
    return moments.pod_rows(run.samples, run.start)


def event_rows(run: Run) -> list[dict[str, Any]]:
    """Return the autoscaler's events and its conditions' changes during the run, oldest first."""
    rows = run.events().to_pylist()
    words = {"autoscaler": "event", "condition": "condition"}
    return [
        {
            "second": row["t"],
            "what": words[row["kind"]],
            "reason": f"{row['subject']} {row['what']}".strip(),
            "message": row["message"],
        }
        for row in rows
        if row["kind"] in words
    ]


def fact_rows(run: Run) -> dict[str, Any]:
    """Return target, cluster, versions and times of the run."""
    facts = run.facts
    return {
        "Service": f"{facts['target']['namespace']}/{facts['target']['name']}",
        "Model": facts["target"]["model"] or "–",
        "URL": facts["target"]["url"],
        "Cluster": f"{facts['cluster']['server']} (context {facts['cluster']['context']})",
        "Profile": run.profile.describe(),
        "Time-out of a request": f"{run.profile.timeout:g} s",
        "Started": _when(run),
        "Load generator": _generator(facts),
        **{name: value or "–" for name, value in facts["versions"].items()},
        "Results": str(run.directory),
        **({"Merged from": ", ".join(facts["merged"])} if facts.get("merged") else {}),
    }


def _generator(facts: dict[str, Any]) -> str:
    """Return where the load came from."""
    workers = facts.get("workers")
    if workers is None:
        return str(facts["machine"])
    return f"{workers['count']} pods in the cluster, through {workers['target']}"


def command(run: Run) -> str | None:
    """Return the command that runs the same test; None where the command line cannot say the profile."""
    profile, target = run.profile, run.facts["target"]
    stages = profile.stages
    if any(stage.ramp or stage.hold != stages[0].hold for stage in stages) or profile.trace is not None:
        return None
    if run.facts.get("merged") or profile.timeout != 10.0 or profile.connections is not None:
        return None
    numbers = ",".join(f"{stage.users or stage.rps:g}" for stage in stages)
    words = ["mlk8s", "loadtest", target["name"], "-n", target["namespace"]]
    words += ["--body", f"@{run.directory / 'body.json'}"]
    words += ["--users" if profile.closed_loop else "--steps", numbers, "--hold", f"{stages[0].hold:g}s"]
    if profile.arrivals != "regular":
        words += ["--arrivals", profile.arrivals, "--seed", str(profile.seed)]
    if profile.warmup:
        words += ["--warmup", f"{profile.warmup:g}s"]
    if profile.stop_above != 0.5:
        words += ["--stop-above", f"{profile.stop_above:g}"]
    if run.facts["settle"]:
        words += ["--settle", f"{run.facts['settle']:g}s"]
    if workers := run.facts.get("workers"):
        words += ["--workers", str(workers["count"])]
    for name, bound in (run.slo.latency if run.slo else {}).items():
        words += [f"--slo-{name}", f"{1000 * bound:g}ms"]
    if run.slo and run.slo.errors is not None:
        words += ["--slo-errors", f"{run.slo.errors:g}"]
    return shlex.join(words)


def again(run: Run) -> str:
    """Return the Python that runs the same test."""
    target = run.facts["target"]
    stages = [
        {key: value for key, value in stage.model_dump().items() if value} for stage in run.profile.stages
    ]
    default = type(run.profile).model_fields
    more = {
        name: value
        for name, value in run.profile.model_dump(exclude={"stages"}).items()
        if name in ("timeout", "seed", "stop_above") or value != default[name].default
    }
    slo = {key: value for key, value in (run.facts["slo"] or {}).items() if value is not None}
    lines = [
        "import mlk8s",
        f"k8s = mlk8s.connect(namespace={target['namespace']!r})",
        f"service = k8s.service({target['name']!r})",
        "profile = mlk8s.LoadProfile(",
        "    stages=[",
        *(
            f"        mlk8s.Stage({', '.join(f'{key}={value!r}' for key, value in stage.items())}),"
            for stage in stages
        ),
        f"    ], {', '.join(f'{name}={value!r}' for name, value in more.items())})",
        f"run = service.loadtest(profile, body={str(run.directory / 'body.json')!r},",
        f"    slo={'mlk8s.Slo(' + ', '.join(f'{k}={v!r}' for k, v in slo.items()) + ')' if slo else None},"
        f" settle={run.facts['settle']!r}{_spread(run.facts)})",
        "run.report()",
    ]
    return "\n".join(lines)


def _spread(facts: dict[str, Any]) -> str:
    workers = facts.get("workers")
    return "" if workers is None else f", workers={workers['count']}"


def partial_words(run: Run) -> str:
    """Return why the results are partial, or nothing."""
    return f"PARTIAL RESULTS: {run.partial}" if run.partial else ""


def _verdict_words(run: Run) -> list[str]:
    if run.verdict is None:
        return ["No SLO was given, so there is no verdict."]
    return [
        f"The SLO was judged over all {run.summary.total.total:,} requests of the run, scale-up included."
    ]


def _captions(run: Run) -> list[str]:
    gaps = sorted({sample["gap"] for sample in run.samples if "gap" in sample})
    words = {"kubernetes": "the API server", "server": "Prometheus"}
    text = [
        "Latency is that of right answers, with at most 1 % error, timed from the moment at which a request "
        "was due to the whole answer: what a request waited for, a connection or the generator, is in it. "
        "Behind the percentiles is the whole distribution: the darker, the more answers."
    ]
    if (lag := run.summary.lag["p99"]) is not None:
        late = f"The generator was at most {milliseconds(lag)} late with 99 % of the requests"
        bad = lag > _LATE and lag > _LATE_SHARE * (run.summary.percentiles["p99"] or 0.0)
        text.append(
            late + (": too late for latencies like these; give it more CPU or workers." if bad else ".")
        )
    if run.profile.warmup:
        text.append(
            f"The first {run.profile.warmup:g} s are warm-up: drawn, and in no number and no verdict."
        )
    for gap in gaps:
        count = sum(sample.get("gap") == gap for sample in run.samples)
        text.append(f"{words.get(gap, gap)} could not be asked {count} times; its lines have gaps there.")
    return text


def _versions(summary: Summary) -> str:
    versions = summary.total.versions
    if not versions:
        return ""
    parts = [f"version {name}: {count:,}" for name, count in sorted(versions.items())]
    return "Answers by model version: " + ", ".join(parts) + "."


def _when(run: Run) -> str:
    return datetime.fromtimestamp(run.facts["started"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _sub(own: bool) -> int:
    return 2 if own else 3
