"""Measure canary decisions: wrong verdicts, requests and time, beside the rules of Flagger and Argo Rollouts.

    python benchmarks/canary.py                     # simulated: 1,000 replays a row, about five minutes
    python benchmarks/canary.py --replays 100       # a look

Promise: at most 1 % of the requests fail. Good versions fail 0.2 %, bad ones 2 % and 5 %, borderline ones
exactly 1 % (as the stable version then does): promoting them and rolling them back are both wrong. All
methods get the same weights, 5 % more each minute up to 50 %, and the same kinds of streams: requests that
fail each by itself, in clusters of five, and in bursts that take half of a block's requests. Clusters are
judged with what the default, `errors="adaptive"`, makes of them, and with `errors="correlated", burst=5`;
bursts with the default, which nothing warns of them, and with `errors="correlated"`. For both `correlated`
the bound on wrong verdicts is a theorem.

A share of wrong verdicts is met where the replays do not speak against "at most 1 %" (exact binomial test,
one-sided, 1 %). The table's last line is `met N of M`; the same is written as JSON, with the date, the
machine and the versions.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from canary_streams import BURSTS, CLUSTER, CLUSTERS, INDEPENDENT, Outcome, Stream, by_rule, ours
from local_cluster import Row, report

from mlk8s.assess.evidence import Block, Counts, Judge
from mlk8s.assess.evidence.rivals import RAMP, Argo, Flagger, Rule
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.load import Slo

ALPHA = 0.01
PROMISE = Slo(errors=0.01)
VERSIONS = (
    ("good", 0.002, 0.002),
    ("bad 2 %", 0.02, 0.002),
    ("bad 5 %", 0.05, 0.002),
    ("borderline", 0.01, 0.01),
)
RATES = (2, 20, 200)
DEFAULT = Analysis(slo=PROMISE, steps=RAMP)
METHODS: dict[str, Analysis] = {
    "independent": DEFAULT.replace(errors="independent"),
    "adaptive": DEFAULT,
    "correlated, burst 5": DEFAULT.replace(errors="correlated", burst=CLUSTER),
    "correlated": DEFAULT.replace(errors="correlated"),
}
STEP_MS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replays", type=int, default=1_000, help="rollouts a row")
    arguments = parser.parse_args()
    found = simulated(arguments.replays)
    rows = [*wrong_rows(found, arguments.replays), *power_rows(found), step_row()]
    lines = table(found)
    print("\n".join(lines), end="\n\n")
    report(
        rows,
        "canary" if arguments.replays >= 1_000 else None,
        {"numpy": np.__version__},
        {"simulated": lines},
    )
    return 0


Key = tuple[str, str, float, str]
"""Method, version, requests/s, kind of failures."""


def rules() -> list[Rule]:
    """Return Flagger's and Argo's rules: each minute the success rate of the last minute is 99 % or more."""
    manifest: dict[str, Any] = {
        "kind": "Canary",
        "spec": {
            "analysis": {
                "interval": "1m",
                "maxWeight": 50,
                "stepWeight": 5,
                "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}}],
            }
        },
    }
    found: list[Rule] = []
    for threshold in (1, 5, 10):
        manifest["spec"]["analysis"]["threshold"] = threshold
        found.append(Flagger.read(manifest, {}))
    for limit in (0, 3):
        metric = {
            "name": "success-rate",
            "interval": "1m",
            "successCondition": "result[0] >= 0.99",
            "failureLimit": limit,
        }
        found.append(Argo.read({"kind": "AnalysisTemplate", "spec": {"metrics": [metric]}}, {}))
    return found


def simulated(replays: int) -> dict[Key, Outcome]:
    """Return the outcomes of all methods on all streams."""
    found: dict[Key, Outcome] = {}
    for kind in (INDEPENDENT, CLUSTERS, BURSTS):
        for rps in RATES:
            for number, (version, error, stable) in enumerate(VERSIONS):
                stream = Stream(version, error, stable, rps, kind)
                seed = 1_000_000 * len(kind) + 1_000 * rps + number
                for name, analysis in METHODS.items():
                    if kind == BURSTS and name not in ("adaptive", "correlated"):
                        continue
                    found[name, version, rps, kind] = ours(stream, analysis, replays, seed)
                for rule in rules():
                    outcome = by_rule(stream, rule, replays, seed, DEFAULT.deadline)
                    found[rule.name, version, rps, kind] = outcome
    return found


def wrong(version: str, outcome: Outcome) -> float:
    """Return the share of wrong verdicts: `inconclusive` is none."""
    if version == "good":
        return outcome.rolled_back
    if version == "borderline":
        # Each of both errors has a budget of its own.
        return max(outcome.promoted, outcome.rolled_back)
    return outcome.promoted


def wrong_rows(found: dict[Key, Outcome], replays: int) -> list[Row]:
    """One row a version, rate and kind of stream."""
    rows = []
    most = allowed(replays)
    for kind, name in (
        (INDEPENDENT, "adaptive"), (CLUSTERS, "adaptive"), (CLUSTERS, f"correlated, burst {CLUSTER}"),
        (BURSTS, "adaptive"), (BURSTS, "correlated"),
    ):  # fmt: skip
        for rps in RATES:
            for version, _, _ in VERSIONS:
                share = wrong(version, found[name, version, rps, kind])
                rivals = {rule.name: wrong(version, found[rule.name, version, rps, kind]) for rule in rules()}
                note = "; ".join(f"{rival} {100 * value:.1f} %" for rival, value in rivals.items())
                what = f"wrong: {version}, {rps} rps, {kind}, judged as {name}"
                rows.append(Row(what, round(100 * most, 2), round(100 * share, 2), "%", note))
    return rows


def allowed(replays: int) -> float:
    """Return the largest share of wrong verdicts that does not speak against "at most ALPHA"."""
    from math import comb

    total, count = 0.0, 0
    while True:
        total += comb(replays, count) * ALPHA**count * (1 - ALPHA) ** (replays - count)
        if total >= 0.99:
            return count / replays
        count += 1


def power_rows(found: dict[Key, Outcome]) -> list[Row]:
    """Canary requests until the decision at 20 requests/s, as a share of Flagger's with threshold 5."""
    rows = []
    for version, most in (("good", 1 / 3), ("bad 5 %", 1 / 2)):
        mine = found["adaptive", version, 20, INDEPENDENT]
        other = found["Flagger, threshold 5", version, 20, INDEPENDENT]
        ratio = float(np.median(mine.requests) / np.median(other.requests))
        note = (
            f"{typical(mine)}, Flagger {typical(other)}, "
            f"errors='independent' {typical(found['independent', version, 20, INDEPENDENT])}"
        )
        rows.append(
            Row(f"requests: {version}, 20 rps, share of Flagger's", round(most, 3), round(ratio, 3), "", note)
        )
    return rows


def typical(outcome: Outcome) -> str:
    return f"{np.median(outcome.requests):,.0f} requests in {np.median(outcome.seconds) / 60:.1f} min"


def step_row() -> Row:
    """One block and one decision, ten metrics, with half an hour of blocks: the median of CPU times."""

    class Ten(Analysis):
        @property
        def metrics(self) -> dict[str, float]:
            return {"errors": 0.01} | {f"p{number}": 0.01 for number in range(91, 100)}

    judge = Judge(Ten(slo=PROMISE))
    rng = np.random.default_rng(1)
    state = judge.start(0.0)
    took = []
    for number in range(180):
        slow = {f"p{one}": int(rng.binomial(100, 0.005)) for one in range(91, 100)}
        counts = Counts(100, int(rng.binomial(100, 0.005)), slow)
        start = time.process_time()
        state = judge.step(state, Block(10.0 * number, 10.0, 50, counts, counts))
        judge.decide(state)
        took.append(1000 * (time.process_time() - start))
    note = f"of 180 blocks; 90 % within {np.percentile(took, 90):.2f} ms, slowest {max(took):.2f} ms"
    return Row("one step and decision, ten metrics", STEP_MS, round(float(np.median(took)), 2), "ms", note)


def table(found: dict[Key, Outcome]) -> list[str]:
    """Return all outcomes, a line each; requests, minutes and failures are medians until the decision or the
    deadline."""
    lines = [f"{'method':22} {'version':11}  rps failures       prom %  back %    ? %  requests   min failed"]
    for (name, version, rps, kind), outcome in found.items():
        open_ = abs(1 - outcome.promoted - outcome.rolled_back)
        shares = " ".join(f"{100 * share:7.1f}" for share in (outcome.promoted, outcome.rolled_back, open_))
        requests, failed = np.median(outcome.requests), np.median(outcome.failed)
        minutes = np.median(outcome.seconds) / 60
        lines.append(
            f"{name:22} {version:11} {rps:4} {kind:13} {shares} {requests:9,.0f} {minutes:5.1f} {failed:6.0f}"
        )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
