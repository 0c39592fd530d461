"""`Run`: a load test's directory, opened: its table, numbers, verdict, plot and report."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from mlk8s.assess.slo import SloVerdict, assess_slo
from mlk8s.errors import UsageError
from mlk8s.spec.load import LoadProfile, Slo

if TYPE_CHECKING:
    import pyarrow as pa

    from mlk8s.assess.scaling import ServiceModel
    from mlk8s.loadgen.tail import Line
    from mlk8s.report.comparison import RunComparison, Side
    from mlk8s.report.html import Report
    from mlk8s.report.picture import Picture
    from mlk8s.report.results import Results
    from mlk8s.report.shares import Lost
    from mlk8s.report.summary import Summary

FACTS = "facts.json"
PROFILE = "profile.json"


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage: among what a long run's lines and the drawing library are made of there is none,
    and each look takes longer than the one before."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Run:
    """The results of one load test; also of one that was killed, or that still runs.

    Attributes:
        directory: where everything is: profile.json, body.json, facts.json, requests-*.jsonl, cluster.jsonl,
            locust.log, and after the end timeline.parquet and timeline.json.
        facts: target, versions, cluster and times (seconds since the epoch) of the test.
        profile: what was to be sent.
        slo: what was promised, or None.
    """

    def __init__(self, directory: Path, facts: dict[str, Any], profile: LoadProfile, slo: Slo | None) -> None:
        self.directory = directory
        self.facts = facts
        self.profile = profile
        self.slo = slo

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Run:
        """Open the directory of a load test.

        Raises:
            UsageError: it is not one.
        """
        place = Path(directory)
        try:
            facts = orjson.loads((place / FACTS).read_bytes())
            profile = LoadProfile(**orjson.loads((place / PROFILE).read_bytes()))
            slo = Slo(**facts["slo"]) if facts["slo"] else None
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UsageError(
                f"not a load test's directory: {error}",
                where=str(place),
                expected=f"a directory with {FACTS} and {PROFILE}, as `loadtest` writes it",
            ) from None
        return cls(place, facts, profile, slo)

    @staticmethod
    def merge(*runs: Run, directory: str | os.PathLike[str]) -> Run:
        """Return the load tests that several machines sent to one service at the same time as one, in a new
        directory: requests are added up second by second, and the stages' rates are the sums.

        Raises:
            UsageError: fewer than two runs, other services, stages or times, a used directory.
        """
        from mlk8s.operations.merge import merge

        return merge(runs, directory)

    @property
    def partial(self) -> str | None:
        """Why the results are not those of the whole profile; None when they are."""
        if self.facts.get("cut"):
            return str(self.facts["cut"])
        return None if self.facts.get("ended") else "the load test was killed, or still runs"

    @cached_property
    def lost(self) -> list[Lost]:
        """Workers whose share of the load is missing, from some moment on."""
        from mlk8s.report.shares import lost_shares

        return lost_shares(self.directory, self.facts, self.profile.duration)

    @cached_property
    def results(self) -> Results:
        """The load generator's lines by second."""
        from mlk8s.report.results import Results

        return Results.read(self.directory)

    @cached_property
    def samples(self) -> list[Line]:
        """The cluster's samples, in the order in which they were written."""
        from mlk8s.loadgen.tail import read_lines

        return list(read_lines(self.directory / "cluster.jsonl"))

    @property
    def start(self) -> float:
        """Second since the epoch of t = 0, the first second of load."""
        return float(min(self.results.load, default=self.facts["started"]))

    def timeline(self) -> pa.Table:
        """Return load, answers, replicas, the metric, CPU and memory as one table, a row a second.

        Columns and units: `mlk8s.report.timeline.COLUMNS`; t = 0 is the first second of load.
        """
        return self._timeline

    @cached_property
    def _timeline(self) -> pa.Table:
        from mlk8s.report.timeline import build

        return build(self.results, self.samples)

    def events(self) -> pa.Table:
        """Return what happened at one moment, in order, on the timeline's clock.

        Stages of the load; each pod created, scheduled, started, ready and asked to stop; the autoscaler's
        events, and its conditions as they change.

        Columns and their meaning: `mlk8s.report.moments.COLUMNS`.
        """
        return self._events

    @cached_property
    def _events(self) -> pa.Table:
        from mlk8s.report.moments import moments

        last = float(self._timeline.num_rows - 1)
        return moments(self.samples, self.profile, self.start, last=last, lost=self.lost)

    @cached_property
    def summary(self) -> Summary:
        """Totals, stage by stage, and how the replicas followed."""
        from mlk8s.report.summary import summarize

        return summarize(self.results, self.profile, self._timeline, self.slo)

    @property
    def verdict(self) -> SloVerdict | None:
        """Whether the SLO was held over the whole run; None when there is no SLO."""
        if self.slo is None:
            return None
        total = self.summary.total
        return assess_slo(self.slo, requests=total.total, ok=total.ok, latency=total.percentiles())

    def compare(
        self, baseline: Run, *, block: int = 5, confidence: float = 0.99, latency: float = 0.05,
        errors: float = 0.001,
    ) -> RunComparison:  # fmt: skip
        """Say whether this run is worse than a baseline of the same load, beyond the noise of both.

        What is returned has `plot()`, percentile curves with their confidence bands, and `report(path)`.

        Args:
            block: seconds that are drawn together by the bootstrap; longer than a disturbance lasts.
            confidence: that nothing is called worse which is not, 0 to 1.
            latency: share by which a percentile may be worse before it counts.
            errors: by which the error rate may be worse before it counts, 0 to 1.

        Raises:
            UsageError: runs of different loads, or fewer than five blocks.
        """
        from mlk8s.assess.compare import compare
        from mlk8s.report.comparison import RunComparison

        if not self.profile.same_load(baseline.profile):
            raise UsageError(
                "the two runs had different loads",
                where=f"{baseline.directory}: {baseline.profile.describe()}; {self.directory}: "
                f"{self.profile.describe()}",
                expected="the same profile",
            )
        if not 0 < confidence < 1:
            raise UsageError(f"confidence is {confidence:g}", expected="above 0, below 1, such as 0.99")
        if not (0 <= latency <= 10 and 0 <= errors <= 1):
            raise UsageError(
                f"latency is {latency:g}, errors is {errors:g}", expected="shares: 0 to 10, and 0 to 1"
            )
        if not 1 <= block <= 600:
            raise UsageError(f"block is {block}", expected="1 to 600 seconds")
        sides = [run._side(block) for run in (baseline, self)]
        found = compare(
            *(side.blocks for side in sides), confidence=confidence, latency=latency, errors=errors
        )
        return RunComparison(found.differences, found.confidence, self.profile.describe(), *sides)

    def _side(self, block: int) -> Side:
        from mlk8s.assess.compare import Block
        from mlk8s.report.comparison import Side
        from mlk8s.report.run import fact_rows

        judged = self.results.during(self.profile.warmup, self.profile.duration)
        blocks = [Block(counts.histogram, counts.total) for counts in judged.blocks(block)]
        return Side(self.directory.name, blocks, fact_rows(self))

    def service_model(self) -> ServiceModel:
        """Return one pod of the service as this run measured it, for `mlk8s.simulate`.

        Of the seconds in which as many pods were ready as at the start of the load (`ServiceModel.fit`); the
        time until a pod is ready is the median of the run's pods, CPU a request that of the timeline.

        Raises:
            UsageError: users in a closed loop, no pod was seen, or the pods were never overloaded, or always.
        """
        from mlk8s.report.fitting import fit

        return fit(self.results, self._timeline, self.samples, self.start)

    def save(self) -> tuple[Path, Path]:
        """Write timeline.parquet and timeline.json into the directory and return their paths."""
        from mlk8s.report.timeline import save

        return save(self._timeline, self._events, self.directory)

    def plot(self) -> Picture:
        """Return the plots of the run with their alt text; a notebook shows them."""
        from mlk8s.report.heat import heat
        from mlk8s.report.plots import draw

        return draw(
            self._timeline, self.summary, slo=self.slo, title=self.title, metric=self.metric_name,
            warmup=self.profile.warmup, heat=heat(self.results), events=self._events,
        )  # fmt: skip

    def curve(self) -> Picture:
        """Return latency against throughput, a point a stage, with the knee where there is one.

        Raises:
            UsageError: fewer than three stages had right answers.
        """
        from mlk8s.report.curve import draw_curve

        return draw_curve(self.summary, self.slo, title=self.title)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write one self-contained HTML file and return its path (default: report.html in the directory).

        Raises:
            UsageError: the file cannot be written.
        """
        with _no_collection():
            return self.sections().write(path or self.directory / "report.html")

    def sections(self, report: Report | None = None) -> Report:
        """Add the run's sections to a report (default: a new one) and return it."""
        from mlk8s.report.run import add_run

        return add_run(self, report)

    @property
    def title(self) -> str:
        return f"Load test of {self.facts['target']['name']}: {self.profile.describe()}"

    @property
    def metric_name(self) -> str | None:
        """Name of the autoscaler's metric, or None where there was no autoscaler."""
        names = [sample["hpa"]["name"] for sample in self.samples if sample.get("hpa")]
        return names[-1] if names else None

    def __repr__(self) -> str:
        from mlk8s.report.run import in_words

        return in_words(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from mlk8s.report.run import notebook_view

        return {"text/plain": repr(self), "text/html": notebook_view(self)}
