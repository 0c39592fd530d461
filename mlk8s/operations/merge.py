"""Several load tests of one service at the same time, as one: what each machine sent is added up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from mlk8s.errors import UsageError
from mlk8s.operations.run import FACTS, PROFILE, Run
from mlk8s.report.whole import whole
from mlk8s.spec.load import LoadProfile, Stage

_APART = 5.0
"""Seconds that the loads may have begun apart: beyond, their stages would not be the same."""
_LINES = ("requests-*.jsonl", "samples-*.jsonl", "locust.log")


def merge(runs: Sequence[Run], directory: str | os.PathLike[str]) -> Run:
    """Write a new run directory with the results of several load tests that were sent at the same time.

    Requests are added up second by second on the machines' clocks, which must agree; rates and users of a
    stage are the sums. Replicas, metric, CPU and memory are those that the first run saw.

    Raises:
        UsageError: fewer than two runs, other services, other stages, other times, a used directory.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} load tests are given", where="merge", expected="two or more")
    first = runs[0]
    for run in runs[1:]:
        _check(first, run)
    profile = _together([run.profile for run in runs])
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise UsageError("the directory holds files", where=str(place), expected="a new directory")
        for number, run in enumerate(runs, 1):
            for pattern in _LINES:
                for file in sorted(run.directory.glob(pattern)):
                    head, _, tail = file.name.partition("-")
                    name = f"{head}-{number}-{tail}" if tail else f"{file.stem}-{number}{file.suffix}"
                    shutil.copyfile(file, place / name)
        for name in ("cluster.jsonl", "body.json"):
            if (first.directory / name).exists():
                shutil.copyfile(first.directory / name, place / name)
        (place / PROFILE).write_bytes(orjson.dumps(profile.model_dump(), option=orjson.OPT_INDENT_2))
        with whole(place / FACTS) as file:  # last: with it the directory is a run
            file.write_bytes(orjson.dumps(_facts(runs), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise UsageError(f"cannot write the directory: {error.strerror}", where=str(place)) from None
    merged = Run.open(place.resolve())
    merged.save()
    return merged


def _check(first: Run, run: Run) -> None:
    where = f"{first.directory}; {run.directory}"
    one, other = (each.facts["target"] for each in (first, run))
    if (one["namespace"], one["name"]) != (other["namespace"], other["name"]):
        raise UsageError(
            "the load tests had different targets",
            where=where,
            expected=f"both {one['namespace']}/{one['name']}",
        )
    replayed = any(each.profile.trace is not None for each in (first, run))
    if replayed or _shape(first.profile) != _shape(run.profile):
        raise UsageError(
            "the load tests had different stages",
            where=f"{first.profile.describe()}; {run.profile.describe()}",
            expected="stages of the same lengths, all with rates or all with users, and no trace",
        )
    if not first.results.load or not run.results.load:
        raise UsageError("a load test sent nothing", where=where)
    apart = abs(first.start - run.start)
    if apart > _APART:
        raise UsageError(
            f"the load tests began {apart:g} s apart",
            where=where,
            expected=f"at the same time, {_APART:g} s apart at most: parts of one load",
            next_step="two runs of one load at different times are compared: `mlk8s compare BASELINE RUNDIR`",
        )


def _shape(profile: LoadProfile) -> tuple[Any, ...]:
    stages = tuple((stage.hold, stage.ramp, stage.rps is None) for stage in profile.stages)
    return stages, profile.warmup


def _together(profiles: Sequence[LoadProfile]) -> LoadProfile:
    stages = []
    for each in zip(*(profile.stages for profile in profiles), strict=True):
        load: dict[str, Any] = (
            {"users": sum(stage.users or 0 for stage in each)}
            if each[0].rps is None
            else {"rps": sum(stage.rps or 0.0 for stage in each)}
        )
        stages.append(Stage(hold=each[0].hold, ramp=each[0].ramp, **load))
    ceilings = {  # what was allowed of each may be there of all
        "most_rps": sum(profile.most_rps for profile in profiles),
        "most_users": sum(profile.most_users for profile in profiles),
    }
    return LoadProfile(**profiles[0].model_dump() | ceilings | {"stages": tuple(stages)})


def _facts(runs: Sequence[Run]) -> dict[str, Any]:
    facts = [run.facts for run in runs]
    cut = [why for run in runs for why in (run.partial, *map(str, run.lost)) if why]
    ended = [float(fact["ended"]) for fact in facts if fact.get("ended")]
    return facts[0] | {
        "slo": facts[0]["slo"] if all(fact["slo"] == facts[0]["slo"] for fact in facts) else None,
        "machine": "; ".join(str(fact["machine"]) for fact in facts),
        "workers": None,
        "merged": [str(run.directory) for run in runs],
        "started": min(fact["started"] for fact in facts),
        "ended": max(ended) if len(ended) == len(facts) else None,
        "settle": max(fact["settle"] for fact in facts),
        "cut": "; ".join(dict.fromkeys(cut)) or None,
    }
