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
from mlk8s.spec.configuration import Configuration, outside
from mlk8s.spec.container import Container
from mlk8s.spec.cron import check_schedule
from mlk8s.spec.fields import Image, Labels, Name, Namespace, Seconds
from mlk8s.spec.placement import check_placement
from mlk8s.spec.pod import Pulled
from mlk8s.spec.pods import check_beside
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.scheduling import Scheduling
from mlk8s.spec.urls import CaFile, DataUrl, Input
from mlk8s.spec.volume import Volume

PIPELINE = "pipeline"
"""Name of the container that runs the function."""
_OWN_ENV = ("JOB_NAME", "JOB_UID", "POD_UID", "STORAGE_ENDPOINT", "STORAGE_CREDENTIALS_DIR")
_OWN_PATHS = ("/pipeline", "/var/run/secrets")
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


class FeatureJob(Pulled, Configuration):
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
        env, config_files, secret_env, secret_files: what the function reads; see Configuration.
        image_pull_secrets: Secrets of registries that want a login; see Pulled.
        sidecars: containers beside the function, such as a proxy to a database: they start, in this order,
            before it, restart by themselves, and end after it, which ends the Job.
        volumes: further storage of the pipeline's container, by Volume.mount; sidecars name it in `mounts`.
        scheduling: where the pod runs.
        completions: parts of the version; each is one pod's, whose function gets `index` and `count` besides.
        parallelism: pods at a time; None means as many as there are parts.
        completion_mode: `Indexed` where there are several parts: each pod must know which one is its own.
        backoff_limit_per_index: retries of each part, instead of `backoff_limit` for all together; parts that
            failed do not stop the others (`backoffLimitPerIndex`).
        max_failed_indexes: more failed parts than that end the Job (`maxFailedIndexes`).
        queue: LocalQueue of Kueue that the Job waits in until there is room for it.
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
    labels: Labels = {}
    sidecars: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    scheduling: Scheduling = Scheduling()
    completions: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    parallelism: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    completion_mode: Literal["NonIndexed", "Indexed"] = "NonIndexed"
    backoff_limit_per_index: Annotated[int, Field(ge=0, le=20, strict=True)] | None = None
    max_failed_indexes: Annotated[int, Field(ge=0, le=10_000, strict=True)] | None = None
    queue: Namespace | None = None

    @property
    def pods(self) -> int:
        """Pods at a time."""
        return min(self.parallelism or self.completions, self.completions)

    @model_validator(mode="after")
    def _own_names(self) -> FeatureJob:
        for name in (*self.env, *self.secret_env):
            if name.startswith("PIPELINE_") or name in _OWN_ENV:
                raise ValueError(f"environment variable {name!r} is mlk8s's own; expected another name")
        outside(self, _OWN_PATHS)
        volumes = [item.name for item in self.volumes]
        check_beside((), self.sidecars, names=(PIPELINE,), volumes=volumes)
        size = len(self.source.encode()) + sum(len(text.encode()) for text in self.config_files.values())
        if size > _SOURCE_LIMIT:
            raise ValueError(f"source and config_files have {size} bytes; expected at most {_SOURCE_LIMIT}")
        return self

    @model_validator(mode="after")
    def _parts(self) -> FeatureJob:
        if self.completion_mode == "NonIndexed":
            if self.completions > 1 or (self.parallelism or 1) > 1:
                raise ValueError(
                    f"{'completions' if self.completions > 1 else 'parallelism'} is above 1 and "
                    "completion_mode is 'NonIndexed': every pod would make the same version; expected "
                    "completion_mode='Indexed', whose pods make a part each"
                )
            for name in ("backoff_limit_per_index", "max_failed_indexes"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} counts parts; expected it with completion_mode='Indexed'")
        if self.parallelism is not None and self.parallelism > self.completions:
            raise ValueError(
                f"parallelism {self.parallelism} is above completions {self.completions}; expected <= it"
            )
        if self.max_failed_indexes is not None and self.backoff_limit_per_index is None:
            raise ValueError(
                "max_failed_indexes needs backoff_limit_per_index: without it no part fails alone"
            )
        if self.max_failed_indexes is not None and self.max_failed_indexes > self.completions:
            raise ValueError(
                f"max_failed_indexes {self.max_failed_indexes} is above completions {self.completions}"
            )
        if self.backoff_limit_per_index is not None and "backoff_limit" in self.model_fields_set:
            raise ValueError(
                "backoff_limit and backoff_limit_per_index are both given; expected one way to count retries"
            )
        return self

    @model_validator(mode="after")
    def _placement(self) -> FeatureJob:
        check_placement(self.volumes, self.scheduling, self.gpu, self.pods, rolls=False)
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
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if self.entry not in functions:
            raise ValueError(
                f"source has no function {self.entry!r}; it has {', '.join(functions) or 'none'}"
            )
        if self.completion_mode == "Indexed":
            self._takes_index(functions[self.entry].args)
        return self

    def _takes_index(self, args: ast.arguments) -> None:
        names = {item.arg for item in (*args.args, *args.kwonlyargs)}
        lacking = [name for name in ("index", "count") if name not in names and args.kwarg is None]
        if lacking:
            raise ValueError(
                f"{self.entry}() has no parameter {' and no '.join(lacking)}; expected both: completion_mode "
                "is 'Indexed', and each pod is told which part of how many is its own"
            )
        given = sorted({"index", "count"} & {*self.parameters, *self.inputs})
        if given:
            raise ValueError(
                f"{given[0]!r} is in parameters or inputs; expected it free: Kubernetes gives it"
            )


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
