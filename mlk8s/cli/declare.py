"""From options to a spec, and from a spec to its operation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.output import facts, say
from mlk8s.errors import UsageError
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.base import Spec
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.route import Route
from mlk8s.spec.service import ModelService

if TYPE_CHECKING:
    from mlk8s.operations.connection import Kubernetes

_AUTOSCALE = ("min", "max", "metric", "target")
_RESOURCES = ("cpu", "cpu_limit", "memory", "memory_limit")
_PAIRS = {
    "env": "env", "label": "labels", "config_file": "config_files", "secret_env": "secret_env",
    "secret_files": "secret_files",
}  # fmt: skip
"""Options of the form KEY=VALUE, and their fields."""
_FORMS = {
    "config_file": "PATH=FILE", "quota": "NAME=QUANTITY", "secret_env": "KEY=SECRET/KEY",
    "secret_files": "PATH=SECRET",
}  # fmt: skip
_ROUTE = ("host", "path", "ingress_class", "tls", "gateway")


def from_options(name: str, options: dict[str, Any]) -> ModelService:
    """Return the model service that the options of `deploy` describe.

    Raises:
        SpecError: a value is outside its range; names field, value and range.
        UsageError: options of an autoscaler without its bounds, or not KEY=VALUE.
    """
    plain = ("model", "digest", "image", "replicas", "strategy", "retain", "service_type")
    values: dict[str, Any] = {key: options[key] for key in plain if key in options}
    for key in ("max_surge", "max_unavailable"):
        if key in options:
            values[key] = int(options[key]) if options[key].isdigit() else options[key]
    scale = {key: options[key] for key in _AUTOSCALE if key in options}
    if scale:
        missing = [f"--{key}" for key in ("max", "target") if key not in scale]
        if missing:
            raise UsageError(
                f"--{next(iter(scale))} asks for an autoscaler, and {' and '.join(missing)} is missing",
                expected="--max and --target, where one of --min, --max, --metric, --target is given",
            )
        values["autoscale"] = Autoscale(**scale)
    resources = {key: options[key] for key in _RESOURCES if key in options}
    if resources:
        values["resources"] = _resources(resources)
    route = {key: options[key] for key in _ROUTE if key in options}
    if route:
        values["route"] = Route(**route)
    if "gpu" in options:
        values["gpu"] = Gpu(options["gpu"])
    for option, field in _PAIRS.items():
        if option in options:
            values[field] = dict(_pair(option, item) for item in options[option])
    if "config_files" in values:
        values["config_files"] = {place: Path(file) for place, file in values["config_files"].items()}
    return ModelService(name=name, **values)


def _resources(given: dict[str, str]) -> Resources:
    """Return the resources; a request above the default CPU limit takes the limit with it."""
    from mlk8s.spec.fields import parse_quantity

    default = Resources().cpu_limit
    if "cpu" in given and "cpu_limit" not in given and default is not None:
        checked = Resources(cpu=given["cpu"], cpu_limit=None)
        if parse_quantity(checked.cpu) > parse_quantity(default):
            given = given | {"cpu_limit": given["cpu"]}
    return Resources(**given)


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--{option.replace('_', '-')} {text!r} is not {_FORMS.get(option, 'KEY=VALUE')}")
    return key, value


def namespace_of(spec: Spec) -> str | None:
    """Return the namespace that a spec names itself."""
    if isinstance(spec, FeatureCronJob):
        return spec.job.namespace
    return getattr(spec, "namespace", None)


def apply_one(k8s: Kubernetes, spec: Spec, *, wait: bool, timeout: float, create_namespace: bool) -> None:
    """Deploy a service, run a job, apply a scheduled one or any other object; the result goes to stdout."""
    if isinstance(spec, ModelService):
        with leaves(
            f"{spec.name} is applied as far as the lines above say and goes on rolling out; run the same "
            f"command again to follow it, or mlk8s undo {spec.name}"
        ):
            service = k8s.deploy(spec, wait=wait, timeout=timeout, create_namespace=create_namespace, say=say)
        print(service.url or f"{spec.name}.{service.namespace}.svc")
    elif isinstance(spec, FeatureJob):
        with leaves(f"the Job {spec.name} goes on in the cluster"):
            result = k8s.run_job(spec, wait=wait, say=say)
        if result is not None:
            print(facts([("published", f"{spec.output}/{result.version}"), ("rows", result.rows)]))
    elif isinstance(spec, FeatureCronJob):
        with leaves(f"the CronJob {spec.job.name} may be applied; run the same command again"):
            k8s.apply_cron(spec, say=say)
    else:
        name = getattr(spec, "name", type(spec).__name__)
        with leaves(f"{name} is applied as far as the lines above say; run the same command again"):
            done = k8s.apply(spec, wait=wait, timeout=timeout, create_namespace=create_namespace, say=say)
        print("\n".join(done.objects))
