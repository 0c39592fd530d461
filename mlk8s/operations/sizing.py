"""`Sizing`: what `size` found, opened: the answer, what follows from it, its plot, its patches."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from mlk8s.assess.capacity import words
from mlk8s.assess.capacity.apply import planned_spec
from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.capacity.plan import Demand, Plan, plan
from mlk8s.assess.capacity.probe import Probe
from mlk8s.assess.capacity.threshold import Estimate
from mlk8s.errors import SpecError, UsageError
from mlk8s.render.size import document, patches
from mlk8s.render.stored import dump_spec
from mlk8s.report.whole import whole
from mlk8s.spec.load import Slo
from mlk8s.spec.service import ModelService

if TYPE_CHECKING:
    from mlk8s.assess.scaling.service import ServiceModel
    from mlk8s.report.picture import Picture

FILE = "size.json"


class Sizing:
    """How much one pod of a service holds, and what to set because of it.

    Attributes:
        directory: where everything is: size.json, service.yaml, patch-*.yaml, and the probes' load tests.
        facts: service, namespace, cluster and times (seconds since the epoch).
        measured_spec: the service as it was when it was measured.
        capacity: what was measured.
        demand: what the service has to bear.
    """

    def __init__(
        self, directory: Path, facts: dict[str, Any], spec: ModelService, capacity: Capacity, demand: Demand
    ) -> None:
        self.directory = directory
        self.facts = facts
        self.measured_spec = spec
        self.capacity = capacity
        self.demand = demand

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Sizing:
        """Open the directory of a size.

        Raises:
            UsageError: it is not one, or it was cut short before there was an answer.
        """
        place = Path(directory)
        try:
            found = orjson.loads((place / FILE).read_bytes())
            if cut := found["facts"].get("cut"):
                raise UsageError(f"this size came to no answer: {cut}", where=str(place))
            return cls(
                place, found["facts"], ModelService(**found["spec"]), _capacity(found["capacity"]),
                Demand(**found["demand"]),
            )  # fmt: skip
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UsageError(
                f"not a size's directory: {error}", where=str(place), expected=f"a directory with {FILE}"
            ) from None

    @property
    def name(self) -> str:
        """Name of the service."""
        return self.measured_spec.name

    @property
    def rate(self) -> float | None:
        """The most requests/s that one pod holds; None where not even the lowest rate held."""
        return self.capacity.rate

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the rate, in requests/s."""
        found = self.capacity.estimate
        return (found.low, found.high) if found is not None else None

    @property
    def confirmed(self) -> bool | None:
        """Whether 0.9 times the rate held and 1.2 times broke; None where that was not looked at."""
        return words.confirmed(self.capacity)

    @property
    def exit_code(self) -> int:
        """0 with an answer, 1 where not even the lowest rate held."""
        return int(self.rate is None)

    @cached_property
    def plan(self) -> Plan | None:
        """Target, replicas, windows, resources, GPUs and cost; None without a rate."""
        return plan(self.capacity, self.measured_spec, self.demand) if self.rate is not None else None

    @cached_property
    def spec(self) -> ModelService:
        """The service with what follows from its size; `k8s.deploy(sizing.spec)` applies it.

        Raises:
            UsageError: there is no rate to plan with.
            SpecError: the plan does not fit the rest of the spec.
        """
        if self.plan is None:
            raise UsageError(
                words.answer_words(self.name, self.capacity),
                expected="a rate that holds",
                next_step="promise less, or give the pod more CPU",
            )
        return planned_spec(self.measured_spec, self.plan)

    @cached_property
    def misfit(self) -> str | None:
        """Why there is no spec to deploy: no rate holds, or the plan does not fit the service; else None."""
        try:
            self.spec  # noqa: B018 - asked whether it can be made
        except (UsageError, SpecError) as error:
            return error.what
        return None

    @property
    def patches(self) -> list[dict[str, Any]]:
        """What changes in Kubernetes' own objects: kind, name, type (of `kubectl patch`), patch."""
        if self.misfit is not None:
            return []
        return patches(self.measured_spec, self.spec, self.facts["namespace"], self.facts["track"])

    @property
    def sentences(self) -> list[str]:
        """The answer, the check and the reasons for what to set."""
        found = [words.answer_words(self.name, self.capacity)]
        if self.plan is not None:
            found += [
                words.check_words(self.capacity),
                *words.plan_words(self.capacity, self.plan, self.demand),
            ]
            found += [*self.plan.notes, *words.doubts(self.capacity)]
            if self.misfit is not None:
                found.append(f"That does not fit the rest of its spec: {self.misfit}")
        return [item for item in found if item]

    def planned(self, **changes: Any) -> Sizing:
        """Return the same measurement for another demand: `planned(peak=900)`; nothing is sent.

        Raises:
            UsageError: a number outside its range.
        """
        return Sizing(
            self.directory, self.facts, self.measured_spec, self.capacity, replace(self.demand, **changes)
        )

    def service_model(self) -> ServiceModel:
        """Return the pod as `mlk8s.assess.scaling.simulate` needs it."""
        return self.capacity.service_model()

    def plot(self) -> Picture:
        """Return the probes: p99 by rate, which held, the interval and the promise, with alt text."""
        from mlk8s.report.size import draw_size

        return draw_size(self.capacity, self.name)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON and YAML."""
        found = self.plan
        return {
            "service": self.name,
            "namespace": self.facts["namespace"],
            "rate": self.rate,
            "interval": list(self.interval) if self.interval else None,
            "confirmed": self.confirmed,
            "sentences": self.sentences,
            "capacity": asdict(self.capacity) | {"slo": _slo(self.capacity.slo)},
            "demand": asdict(self.demand),
            "plan": None
            if found is None
            else asdict(found)
            | {"resources": found.resources.model_dump(mode="json") if found.resources else None},
            "patches": self.patches,
            "directory": str(self.directory),
        }

    def save(self) -> None:
        """Write size.json, and service.yaml and the patches where there is something to change."""
        values = {
            "facts": self.facts, "spec": orjson.loads(dump_spec(self.measured_spec)),
            "capacity": asdict(self.capacity) | {"slo": _slo(self.capacity.slo)},
            "demand": asdict(self.demand),
        }  # fmt: skip
        with whole(self.directory / FILE) as file:
            file.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2))
        if self.misfit is not None:
            return
        import yaml

        (self.directory / "service.yaml").write_text(document(self.spec), encoding="utf-8")
        for item in self.patches:
            text = yaml.safe_dump(item["patch"], sort_keys=False)
            self.patch_file(item).write_text(text, encoding="utf-8")

    def patch_file(self, patch: dict[str, Any]) -> Path:
        """Return the file that has a patch."""
        return self.directory / f"patch-{patch['kind'].lower()}.yaml"

    @staticmethod
    def write_cut(directory: Path, facts: dict[str, Any]) -> None:
        """Write down that a size came to no answer, and why."""
        try:
            with whole(directory / FILE) as file:
                file.write_bytes(orjson.dumps({"facts": facts}, option=orjson.OPT_INDENT_2))
        except OSError:
            pass  # a full disk is told by the load test

    def __repr__(self) -> str:
        return "\n".join([*self.sentences, f"results in {self.directory}"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from mlk8s.report.size import notebook_view

        return {
            "text/plain": repr(self),
            "text/html": notebook_view(self.capacity, self.sentences, self.plot()),
        }


def _slo(slo: Slo) -> dict[str, Any]:
    values: dict[str, Any] = slo.model_dump(exclude_none=True)
    return values


def _capacity(values: dict[str, Any]) -> Capacity:
    found = values["estimate"]
    return Capacity(
        **values
        | {
            "slo": Slo(**values["slo"]),
            "estimate": Estimate(**found) if found is not None else None,
            "probes": tuple(Probe(**item) for item in values["probes"]),
            "checks": tuple(Probe(**item) for item in values["checks"]),
        }
    )
