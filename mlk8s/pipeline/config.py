"""What the environment of a feature job's pod says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlk8s.errors import UsageError
from mlk8s.pipeline.inputs import Input, parse_inputs
from mlk8s.storage.artifacts import version_name
from mlk8s.storage.location import Location

# The CronJob controller ends the name of each Job with its scheduled time in minutes since 1970.
_SLOT = re.compile(r"-(\d{8})$")
_FIRST_SLOT = 26_297_280  # 2020-01-01; a smaller number is part of a name, like a date
_BY_HAND = re.compile(r"-manual-(\d{8})t(\d{6})z$")  # how `mlk8s cron trigger` ends a Job's name
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Settings by environment variable.

    Attributes:
        source: PIPELINE_SOURCE, the Python file with the function.
        entry: PIPELINE_ENTRY, the function's name, `build` unless said otherwise.
        parameters: PIPELINE_PARAMETERS, a JSON object, passed as keyword arguments.
        output: PIPELINE_OUTPUT, the data set, `s3://features/digits` or `pvc://features/digits`.
        inputs: PIPELINE_INPUTS, a JSON object, passed by name beside the parameters.
        version: PIPELINE_VERSION; else the slot that ends a CronJob's JOB_NAME; else the time of the start.
        job: JOB_NAME, kept in the version's metadata.
        index, count: JOB_COMPLETION_INDEX and PIPELINE_COUNT, which part of how many; None where it is whole.
        run: JOB_UID, the same for all parts of one Job.
    """

    source: Path
    output: str
    version: str
    entry: str = "build"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: str | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    index: int | None = None
    count: int = 1
    run: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str], now: datetime) -> PipelineConfig:
        """Read the environment; `now` is the time of the start.

        Raises:
            UsageError: a variable is missing or malformed; names it.
            SpecError: the output or version is malformed.
        """
        source = Path(_needed(env, "PIPELINE_SOURCE", "the path of a Python file"))
        if not source.is_file() or not os.access(source, os.R_OK):
            raise UsageError("PIPELINE_SOURCE is no file that can be read.", where=str(source))
        output = _needed(env, "PIPELINE_OUTPUT", "a data set's place, as in s3://features/digits")
        Location.parse(output)
        entry = env.get("PIPELINE_ENTRY") or "build"
        if not entry.isidentifier():
            raise UsageError(f"PIPELINE_ENTRY is {entry!r}.", expected="the name of a function in the source")
        job = env.get("JOB_NAME") or None
        version = version_name(env.get("PIPELINE_VERSION") or derived_version(job, now))
        inputs = parse_inputs(env.get("PIPELINE_INPUTS", ""))
        whole = cls(source, output, version, entry, _parameters(env), job, inputs)
        if "PIPELINE_COUNT" not in env:
            return whole
        index = _whole_number(env, "JOB_COMPLETION_INDEX")
        run = _needed(env, "JOB_UID", "the Job's UID").replace("-", "")[:12]
        return replace(whole, index=index, count=_whole_number(env, "PIPELINE_COUNT"), run=run)


def derived_version(job: str | None, now: datetime) -> str:
    """A version for a run without a name of its own.

    A CronJob's run is named after its slot, or the moment it was triggered by hand, so that a retry of the
    same run is the same version; any other after its start. All in UTC: `20261123T210000Z`.
    """
    by_hand = _BY_HAND.search(job or "")
    if by_hand:
        return f"{by_hand[1]}T{by_hand[2]}Z"
    slot = _SLOT.search(job or "")
    if slot and int(slot[1]) >= _FIRST_SLOT:
        return datetime.fromtimestamp(int(slot[1]) * 60, UTC).strftime(_STAMP)
    return now.astimezone(UTC).strftime(_STAMP)


def _parameters(env: Mapping[str, str]) -> dict[str, Any]:
    text = env.get("PIPELINE_PARAMETERS") or "{}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"PIPELINE_PARAMETERS is not JSON: {error}.", expected="a JSON object") from None
    if not isinstance(value, dict):
        raise UsageError(f"PIPELINE_PARAMETERS is {text[:60]!r}.", expected="a JSON object")
    return value


def _whole_number(env: Mapping[str, str], name: str) -> int:
    text = _needed(env, name, "a number")
    if not text.isdecimal():
        raise UsageError(f"{name} is {text!r}.", expected="a whole number, 0 or more")
    return int(text)


def _needed(env: Mapping[str, str], name: str, expected: str) -> str:
    value = env.get(name, "")
    if not value:
        raise UsageError(f"{name} is not set.", expected=expected)
    return value
