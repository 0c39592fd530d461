"""What the autoscaler's twin foresees, drawn: load, replicas with their metric, latency."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import Any

import numpy as np

from mlk8s.assess import scaling
from mlk8s.assess.scaling import Cadence, ServiceModel, Simulation
from mlk8s.assess.scaling.twin import LOCAL
from mlk8s.report.alt import milliseconds
from mlk8s.report.picture import Picture
from mlk8s.report.plots import BLACK, BLUE, GREEN, PURPLE, VERMILLION
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.load import LoadProfile


class Forecast(Simulation):
    """A simulation that can be drawn; a notebook shows its plots and warnings."""

    def plot(self) -> Picture:
        """Return load, replicas with metric and target, and latency over time, with their alt text."""
        return draw(self)

    def __str__(self) -> str:
        return in_words(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        warnings = "".join(f"<p><strong>Warning:</strong> {escape(text)}</p>" for text in self.warnings)
        return {"text/plain": str(self), "text/html": warnings + self.plot()._repr_mimebundle_()["text/html"]}


def simulate(
    profile: LoadProfile, autoscale: Autoscale, service_model: ServiceModel, *, replicas: int | None = None,
    settle: float = 0.0, cadence: Cadence = LOCAL, slo_latency: float | None = None,
    cpu_request: float | None = None,
) -> Forecast:  # fmt: skip
    """Say and draw what an autoscaler would do under a load, before anything is deployed.

    Args:
        profile: stages of requests/s, or of users in a closed loop.
        autoscale: one metric: requests_in_flight, requests_per_second or cpu.
        service_model: how a pod answers: `run.service_model()` of a load test, or ServiceModel(...).
        replicas: at the start; the autoscaler's minimum by default.
        settle: seconds after the load that are simulated, too.
        cadence: how often is looked; the local cluster's by default.
        slo_latency: mean latency in seconds above which a second is called lost.
        cpu_request: CPUs that a pod requests, which metric `cpu` is a share of.

    Raises:
        UsageError: a metric that the twin does not know, or `cpu` without what it needs.
    """
    found = scaling.simulate(
        profile, autoscale, service_model, replicas=replicas, settle=settle, cadence=cadence,
        slo_latency=slo_latency, cpu_request=cpu_request,
    )  # fmt: skip
    return Forecast(**{item.name: getattr(found, item.name) for item in fields(found)})


def in_words(found: Simulation) -> str:
    """Return a simulation as sentences, its warnings last."""
    counts = [second.replicas for second in found.seconds]
    first = next((second.t for second in found.seconds if second.replicas > counts[0]), None)
    text = f"Replicas go from {counts[0]} to {max(counts)} at most and end at {counts[-1]}"
    if first is not None:
        text += f"; more are wanted after {first} s"
    worst = max(second.latency for second in found.seconds)
    slow = milliseconds(worst) if np.isfinite(worst) else "without bound"
    text += f". Mean latency is at most {slow}; {found.replica_seconds:,.0f} replica-seconds."
    return "\n".join([text, *(f"Warning: {warning}" for warning in found.warnings)])


def draw(found: Simulation) -> Picture:
    """Draw a simulation."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    t = np.array([second.t for second in found.seconds])
    figure = Figure(figsize=(10, 8), layout="constrained")
    load, replicas, latency = figure.subplots(3, 1, sharex=True, height_ratios=[0.8, 1.2, 0.8])
    step: dict[str, Any] = {"drawstyle": "steps-post"}
    load.plot(t, [second.offered for second in found.seconds], color=BLACK, **step)
    load.set_title("Load", loc="left")
    load.set_ylabel("requests/s")
    load.set_ylim(bottom=0)
    ready = [second.ready for second in found.seconds]
    replicas.plot(
        t, [second.replicas for second in found.seconds], color=BLACK, linestyle="--", label="wanted", **step
    )
    replicas.plot(t, ready, color=GREEN, linewidth=2, label="ready", **step)
    replicas.fill_between(t, 0, ready, step="post", color=GREEN, alpha=0.12, linewidth=0)
    replicas.set_title("Replicas and the metric they follow", loc="left")
    replicas.set_ylabel("pods")
    replicas.set_ylim(bottom=0)
    replicas.yaxis.set_major_locator(MaxNLocator(integer=True))
    other = replicas.twinx()
    metric = [np.nan if second.metric is None else second.metric for second in found.seconds]
    name = f"{found.metric} a pod"
    other.plot(t, metric, color=PURPLE, linestyle=(0, (6, 1, 1, 1)), label=name, **step)
    other.axhline(found.target, color=PURPLE, linestyle=(0, (1, 2)), label="target")
    other.set_ylabel(name + (" (percent of the request)" if found.metric == "cpu" else ""))
    other.set_ylim(bottom=0)
    handles = [
        pair for axis in (replicas, other) for pair in zip(*axis.get_legend_handles_labels(), strict=True)
    ]
    replicas.legend(
        *zip(*handles, strict=True),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    slow = np.array([second.latency for second in found.seconds])
    latency.plot(t, 1000 * np.where(np.isfinite(slow), slow, np.nan), color=BLUE, **step)
    latency.set_title("Mean latency of a request that comes now", loc="left")
    latency.set_ylabel("milliseconds (log scale)")
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    latency.set_xlabel("time since the start of the load (s)")
    if found.slo_latency is not None:
        bound = 1000 * found.slo_latency
        latency.axhline(bound, color=VERMILLION, linestyle=(0, (1, 2)), label=f"SLO {bound:g} ms")
        latency.legend(frameon=False, fontsize=9)
    for panel in (load, replicas, latency):
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.spines["top"].set_visible(False)
        panel.margins(x=0.01)
    figure.suptitle("What the autoscaler would do", fontsize=12, fontweight="bold")
    words = f"Three plots of a simulation over {len(t)} seconds: load, replicas, latency. {in_words(found)}"
    return Picture(figure, words, raster=len(t) > 900)
