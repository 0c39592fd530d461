"""Feature pipelines: a Python function that runs once, or on a schedule, and publishes one data version."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.configuration import Environment
from mlk8s.spec.cron import check_schedule
from mlk8s.spec.fields import Image, Labels, Name, Namespace, Seconds
from mlk8s.spec.placement import check_placement
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.scheduling import Scheduling
from mlk8s.spec.urls import CaFile, DataUrl, Input
from mlk8s.spec.volume import Volume

_SOURCE_LIMIT = 900_000  # bytes; a ConfigMap holds 1 MiB with everything in it


def _source(value: object) -> str:
    if isinstance(value, Path) or (isinstance(value, str) and "\n" not in value and value.endswith(".py")):
        try:
            value = Path(value).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"cannot read the source file: {error.strerror}") from None
    if not isinstance(value, str):
        raise ValueError("expected the path of a Python file, or its text")
    if len(value.encode()) > _SOURCE_LIMIT:
        raise ValueError(f"the source has {len(value.encode())} bytes; expected at most {_SOURCE_LIMIT}")
    return value


def _parameters(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected JSON values: {error}") from None
    return value


def _schedule(value: str) -> str:
    check_schedule(value)
    return value


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("expected an IANA time zone such as 'Etc/UTC' or 'Europe/Berlin'")
    return value


def _version(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}", value):
        raise ValueError("expected letters, digits and '._=-', at most 100 characters")
    return value


def _inputs(value: object) -> object:
    """Return the inputs by name; a bare address is one without a digest."""
    if not isinstance(value, dict):
        return value
    for name in value:
        if not str(name).isidentifier():
            raise ValueError(f"input {name!r}: expected the name of one of the function's parameters")
    return {name: Input(url=item) if isinstance(item, str) else item for name, item in value.items()}


class FeatureJob(Spec):
    """A Kubernetes Job that runs one function and publishes what it returns as one version of a data set.

    Attributes:
        source: path of a Python file, or its text; at most 900 kB.
        entry: name of the function in it; it returns a pyarrow Table, a dict of arrays or a DataFrame.
        output: s3://BUCKET/DATASET, or pvc://CLAIM/DATASET of a claim that is there.
        inputs: data versions by the name of the function's parameter; one in Parquet arrives as a pyarrow
            Table, any other as the Path of its folder. Every digest is checked.
        inputs_ca: authority of the certificates of https:// inputs, where the system does not know it.
        version: name of the version; None means the scheduled time, or the time of the start.
        parameters: keyword arguments of the function, JSON values.
        backoff_limit: retries of failed pods (`backoffLimit`).
        active_deadline: seconds the whole Job may take (`activeDeadlineSeconds`).
        ttl_after_finished: seconds until Kubernetes removes the finished Job (`ttlSecondsAfterFinished`).
        volumes: further storage of the pipeline's container, by Volume.mount.
        scheduling: where the pod runs.
    """

    name: Name
    source: Annotated[str, BeforeValidator(_source)]
    entry: str = "build"
    output: DataUrl
    inputs: Annotated[dict[str, Input], BeforeValidator(_inputs)] = {}
    inputs_ca: CaFile | None = None
    version: Annotated[str, AfterValidator(_version)] | None = None
    parameters: Annotated[dict[str, Any], AfterValidator(_parameters)] = {}
    namespace: Namespace | None = None
    backoff_limit: Annotated[int, Field(ge=0, le=20, strict=True)] = 3
    active_deadline: Annotated[Seconds, Field(ge=1, le=7 * 86400)] = 600.0
    ttl_after_finished: Annotated[Seconds, Field(ge=0, le=30 * 86400)] = 3600.0
    resources: Resources = Resources(cpu="250m", cpu_limit="1", memory="512Mi")
    gpu: Gpu | None = None
    image: Image | None = None
    storage_secret: Name = "mlk8s-storage"
    storage_endpoint: str | None = None
    env: Environment = {}
    labels: Labels = {}
    volumes: tuple[Volume, ...] = ()
    scheduling: Scheduling = Scheduling()

    @model_validator(mode="after")
    def _placement(self) -> FeatureJob:
        check_placement(self.volumes, self.scheduling, self.gpu, 1, rolls=False)
        lost = next((item.name for item in self.volumes if not item.retain), None)
        if lost is not None:
            raise ValueError(
                f"volumes: {lost!r} has retain=False, but every run of a job shares its claims and none ends "
                "them; expected retain=True, or resources.ephemeral_storage for scratch space"
            )
        twice = sorted(set(self.inputs) & set(self.parameters))
        if twice:
            raise ValueError(f"{twice[0]!r} is in inputs and in parameters; expected it in one of them")
        return self

    @model_validator(mode="after")
    def _entry_exists(self) -> FeatureJob:
        try:
            tree = ast.parse(self.source)
        except SyntaxError as error:
            raise ValueError(f"source is not Python: line {error.lineno}: {error.msg}") from None
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if self.entry not in names:
            raise ValueError(f"source has no function {self.entry!r}; it has {', '.join(names) or 'none'}")
        return self


class FeatureCronJob(Spec):
    """A Kubernetes CronJob of a FeatureJob.

    Attributes:
        job: what runs; its name is the CronJob's name. Its `version` stays None: every slot is a version.
        schedule: five cron fields or @hourly, @daily, @weekly, @monthly, @yearly.
        time_zone: IANA name (`timeZone`).
        concurrency_policy: `Forbid` skips a slot while the last one still runs.
        starting_deadline: seconds a missed slot may start late (`startingDeadlineSeconds`, at least 10).
        successful_history, failed_history: finished Jobs that stay for a look.
        suspend: keep the CronJob but start nothing.
    """

    job: FeatureJob
    schedule: Annotated[str, AfterValidator(_schedule)]
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Etc/UTC"
    concurrency_policy: Literal["Forbid", "Allow", "Replace"] = "Forbid"
    starting_deadline: Annotated[Seconds, Field(ge=10, le=7 * 86400)] = 300.0
    successful_history: Annotated[int, Field(ge=0, le=100, strict=True)] = 3
    failed_history: Annotated[int, Field(ge=0, le=100, strict=True)] = 3
    suspend: bool = False

    @model_validator(mode="after")
    def _every_slot_is_a_version(self) -> FeatureCronJob:
        if self.job.version is not None:
            raise ValueError(
                f"job.version is {self.job.version!r}; expected None: each slot publishes its own version"
            )
        return self
