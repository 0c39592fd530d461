"""The search itself: load tests of one pod, each at the rate that teaches most, until enough is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.capacity.probe import Probe, fair_seed, judge, judged_seconds, requests_needed
from mlk8s.assess.capacity.threshold import Estimate, estimate
from mlk8s.assess.capacity.words import CHECKS, probe_words, promise_words
from mlk8s.assess.compare import Block
from mlk8s.clients.clock import Clock
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import LoadTestError, UsageError, WaitTimeout
from mlk8s.loadgen.histogram import value_of
from mlk8s.operations.loadtest import loadtest
from mlk8s.operations.size_copy import OnePod
from mlk8s.operations.size_usage import Usage
from mlk8s.report.results import Counts, together
from mlk8s.spec.load import MOST_RPS, LoadProfile, Slo

if TYPE_CHECKING:
    from mlk8s.operations.run import Run

Say = Callable[[str], None]
_WARMUP = 2.0
_BASE, _BOUNDS = 4.0, 1.5
"""Seconds of each stage of the first load test, one user and many; more where the promise is longer."""
_MANY_USERS = 32
_FIRST = 0.75
"""Share of the saturated rate that is probed first."""
_DOWN, _UP = 1 / 20, 1.6
"""Rates that are looked at, as shares of the saturated one."""
_LEAST = 3
"""Probes without which there is no answer."""
_FEWEST = 5
"""Probes that are sent even where the interval is narrow before."""
_OVERHEAD = 6.0
"""Seconds that a probe takes beyond its load, until it was seen."""
_SURE = 2
"""Probes at an end of the rates that decide that the answer lies beyond."""
_REST = 20.0
_SLOW = 3.0
"""A pod has rested when a request takes no more than so many times what it takes alone."""


class Search:
    """Probes one pod until enough is known, or the time is up.

    Args:
        pod: what is loaded.
        slo: with a bound on errors.
        clock: of all of it.
        deadline: second since the epoch at which the last probe must be over.
        confidence: of the interval.
        precision: width of the interval, as a share of the rate, at which the search is over.
        check: whether 0.9 and 1.2 times the answer are sent in the end.
        place: directory of the results.
        say: gets one line a probe.
    """

    def __init__(
        self, pod: OnePod, slo: Slo, clock: Clock, deadline: float, confidence: float, precision: float,
        check: bool, place: Path, say: Say,
    ) -> None:  # fmt: skip
        self._pod, self._slo, self._clock, self._deadline = pod, slo, clock, deadline
        self._confidence, self._precision, self._check = confidence, precision, check
        self._place, self._say = place, say
        self.request = b""
        """Body of every request."""
        prometheus = pod.service.platform.prometheus
        source = Prometheus(pod.service.cluster, prometheus) if prometheus else None
        self._usage = Usage(source, pod.service.namespace, pod.pod)
        self._timeout = min(60.0, max(2.0, 3 * max(slo.latency.values(), default=1.0)))
        self._probes: list[Probe] = []
        self._overhead = _OVERHEAD
        self._sent = 0
        self._latency = self._saturation = 0.0
        self._tired = False
        """Whether the last probe was more than the pod could take."""

    def measure(self) -> Capacity:
        """Probe, check, and return what was measured.

        Raises:
            WaitTimeout: time was up before there was an answer.
            UsageError: the pod answers too few requests to judge the promise in this time.
        """
        begin = self._clock.now()
        hopeless = self._base()
        lowest, highest = self._range()
        found = self._search(lowest, highest, hopeless)
        checks = self._checks(found) if found is not None and self._check else []
        return Capacity(
            slo=self._slo, estimate=found, lowest=lowest, highest=highest, probes=tuple(self._probes),
            checks=tuple(checks), latency=self._latency, saturation=self._saturation, start=self._pod.start,
            memory=self._usage.memory(self._clock.now() - begin),
        )  # fmt: skip

    def _base(self) -> bool:
        """Measure a lone request and a full queue; return whether even a lone one breaks the promise."""
        bounds, users = self._slo.latency, _MANY_USERS
        hold = max(_BASE, float(ceil(_BOUNDS * max(bounds.values(), default=0.0))))
        profile = LoadProfile.closed(
            users=[1, users], hold=hold, timeout=max(hold, self._timeout), stop_above=1
        )
        run = self._run(profile)
        alone, many = (run.results.during(k * hold, (k + 1) * hold) for k in range(2))
        counts, full = (together(stage.requests.values()) for stage in (alone, many))
        latency = counts.percentiles()
        if not counts.ok or latency["p50"] is None:
            raise LoadTestError(
                f"the pod gave no right answer to one user in {hold:g} s",
                where=str(run.directory),
                next_step=f"`mlk8s report {run.directory}` shows what it answered",
            )
        self._latency = latency["p50"]
        self._saturation = max(full.ok, counts.ok) / hold
        self._say(
            f"size: a request alone takes {1000 * self._latency:.3g} ms; "
            f"{users} users get {self._saturation:.4g} answers a second"
        )
        return any((latency[name] or 0.0) > bound for name, bound in bounds.items() if name != "p99")

    def _range(self) -> tuple[float, float]:
        """Return the lowest and the highest rate to look at."""
        left = self._deadline - self._clock.now()
        longest = max(10.0, left / 8 - _OVERHEAD - _WARMUP)
        # A rate so low that a probe cannot judge it in its share of the time is not looked at.
        lowest = max(_DOWN * self._saturation, requests_needed(self._slo) / longest)
        highest = min(MOST_RPS, _UP * self._saturation)
        if lowest >= _FIRST * highest:
            raise UsageError(
                f"the pod answers {self._saturation:.3g} requests/s, and to judge "
                f"{promise_words(self._slo)} takes {requests_needed(self._slo)} requests a probe",
                where=f"{left:.0f} s that are left",
                expected="a promise of a lower percentile, or more time",
                next_step="--slo-p90 or --slo-p95 instead, or a longer --within",
            )
        return lowest, highest

    def _search(self, lowest: float, highest: float, hopeless: bool) -> Estimate | None:
        """Probe where it teaches most; return None where not even the lowest rate holds.

        Args:
            hopeless: even a lone request breaks the promise, which a probe of the lowest rate has to confirm.
        """
        rate = lowest if hopeless else min(max(lowest, _FIRST * self._saturation), highest)
        found = None
        while self._fits(rate):
            self._probes += [probe := self._send(rate)[0]]
            found = estimate([item.trial for item in self._probes], lowest, highest, self._confidence)
            self._say(
                f"size: {len(self._probes):>2}. {probe_words(probe, self._slo)}"
                f"  → {found.rate:.4g}/s ({found.low:.4g} to {found.high:.4g})"
            )
            held = [item.rate for item in self._probes if item.held]
            low = sum(item.rate <= 1.05 * lowest for item in self._probes)
            if not held and low + hopeless >= _SURE:
                return None
            if sum(item >= highest / 1.05 for item in held) >= _SURE:
                break
            if len(self._probes) >= _FEWEST and found.width <= self._precision:
                return found
            # Where the lowest rate is in doubt, it is what has to be seen.
            rate = lowest if found.floor else found.rate
        return self._settled(found)

    def _settled(self, found: Estimate | None) -> Estimate:
        """Return what is known when there is no time left.

        Raises:
            WaitTimeout: that is no answer.
        """
        held = [item.rate for item in self._probes if item.held]
        if found is None or not held or len(self._probes) < _LEAST:
            raise WaitTimeout(
                f"time was up with no answer yet: probes sent {len(self._probes)}, held {len(held)}",
                where=str(self._place),
                expected=f"{_LEAST} probes or more, and one that holds",
                next_step="allow more time: --within 5m",
            )
        if all(
            item.held for item in self._probes
        ):  # what broke was not seen: no more is known than what held
            return replace(found, rate=max(held), low=min(found.low, max(held)), ceiling=True)
        if found.width > self._precision:
            self._say(
                f"size: time is up; the interval is {100 * found.width:.0f} % of the rate wide, "
                "and a longer --within makes it narrower"
            )
        return found

    def _fits(self, rate: float) -> bool:
        """Whether there is time for a probe of the rate, and for the checks after it."""
        one = self._lasts(rate)
        checks = self._lasts(*(factor * rate for factor in CHECKS)) if self._check else 0.0
        return self._clock.now() + one + checks < self._deadline

    def _lasts(self, *rates: float) -> float:
        """Return the seconds that a load test of some rates takes, one after the other."""
        return len(rates) * (_WARMUP + judged_seconds(self._slo, min(rates))) + self._overhead

    def _checks(self, found: Estimate) -> list[Probe]:
        """Send what has to hold, then what has to break."""
        # Not more than may be sent, nor than was looked at.
        factors = [
            factor
            for factor in CHECKS
            if factor * found.rate <= MOST_RPS and not (found.ceiling and factor > 1)
        ]
        probes = self._send(*(factor * found.rate for factor in factors))
        for factor, probe in zip(factors, probes, strict=True):
            self._say(f"size: check at {factor:g} ×: {probe_words(probe, self._slo)}")
        return probes

    def _send(self, *rates: float) -> list[Probe]:
        """Send rates in a row, the highest last, and judge each: what it leaves would be the next one's."""
        if self._tired:
            self._rest()
        began, seconds = self._clock.now(), judged_seconds(self._slo, min(rates))
        length = _WARMUP + seconds
        profile = LoadProfile.steps(
            rps=rates, hold=length, timeout=self._timeout, arrivals="poisson", stop_above=1,
            seed=fair_seed(rates, _WARMUP, seconds, first=1000 * self._sent),
        )  # fmt: skip
        run = self._run(profile)
        last = len(rates) - 1
        probes = [
            self._seen(run, rate, k * length + _WARMUP, seconds, k == last) for k, rate in enumerate(rates)
        ]
        self._tired = not probes[-1].held
        over = self._clock.now() - began - len(rates) * length
        self._overhead = max(3.0, 0.5 * (self._overhead + over))
        return probes

    def _seen(self, run: Run, rate: float, begin: float, seconds: float, last: bool) -> Probe:
        """Judge the `seconds` of a load test from `begin` on; of the last, what was answered later, too."""
        loaded = run.results.during(begin, begin + seconds)
        judged = run.results.during(begin) if last else loaded
        total = together(judged.requests.values())
        verdict = judge(
            self._slo, [Block(counts.histogram, counts.total) for counts in judged.blocks(1)],
            sent=sum(int(load["sent"]) for load in loaded.load.values()),
            ended=sum(counts.total for counts in loaded.requests.values()), seed=self._sent,
        )  # fmt: skip
        ago = self._clock.now() - (min(run.results.load) + begin + seconds)
        return Probe(
            rate=rate, seconds=seconds, requests=total.total, ok=total.ok, percentiles=total.percentiles(),
            mean=_mean(total), errors=total.error_rate, kept_up=verdict.kept_up, held=verdict.held,
            share=verdict.share, lag=judged.lag()["p99"],
            in_flight=self._usage.in_flight(seconds, ago), cpu=self._usage.cpu(seconds, ago),
        )  # fmt: skip

    def _run(self, profile: LoadProfile) -> Run:
        self._sent += 1
        service = self._pod.service
        place = self._place / "probes" / f"{self._sent:02}"
        return loadtest(
            service.cluster, service, profile, body=self.request, slo=self._slo, directory=place, live=False,
            say=_quiet,
        )  # fmt: skip

    def _rest(self) -> None:
        """Wait until what an overload left in the pod's queue is done with."""
        inference = self._pod.service.inference
        end = self._clock.now() + _REST
        while self._clock.now() < end:
            asked = self._clock.now()
            inference.request("POST", f"/v2/models/{self._pod.service.name}/infer", body=self.request)
            if self._clock.now() - asked <= _SLOW * self._latency + 0.05:
                return
            self._clock.sleep_until(self._clock.now() + 0.2)


def _quiet(line: str) -> None:
    """Say nothing: a probe has one line of its own."""


def _mean(counts: Counts) -> float | None:
    """Return the mean latency of right answers, in seconds."""
    if not counts.ok:
        return None
    return sum(value_of(bucket) * count for bucket, count in counts.histogram.items()) / counts.ok
