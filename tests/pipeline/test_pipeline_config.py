from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlk8s.errors import Mlk8sError
from mlk8s.pipeline.config import PipelineConfig, derived_version

NOW = datetime(2026, 11, 23, 21, 7, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("job", "version"),
    [
        (None, "20261123T210705Z"),
        ("digits", "20261123T210705Z"),
        ("digits-29924460", "20261123T210000Z"),  # the slot, whenever the pod starts
        ("digits-20261123", "20261123T210705Z"),  # a date in a name is no slot
        ("digits-29924460-manual", "20261123T210705Z"),
        ("digits-manual-20261123t080000z", "20261123T080000Z"),  # every part of it has the same
    ],
)
def test_a_run_without_a_version_is_named_after_its_slot_or_its_start(job: str | None, version: str) -> None:
    assert derived_version(job, NOW) == version


def test_the_slot_is_that_of_kubernetes() -> None:
    assert int(datetime(2026, 11, 23, 21, 0, tzinfo=UTC).timestamp()) // 60 == 29924460


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PIPELINE_SOURCE": ""}, "PIPELINE_SOURCE is not set"),
        ({"PIPELINE_SOURCE": "/none.py"}, "/none.py"),
        ({"PIPELINE_OUTPUT": ""}, "PIPELINE_OUTPUT is not set"),
        ({"PIPELINE_OUTPUT": "ftp://x/y"}, "'ftp'"),
        ({"PIPELINE_ENTRY": "a b"}, "'a b'"),
        ({"PIPELINE_PARAMETERS": "{"}, "PIPELINE_PARAMETERS is not JSON"),
        ({"PIPELINE_PARAMETERS": "[1]"}, "a JSON object"),
        ({"PIPELINE_VERSION": "a/b"}, "cannot be a version"),
        ({"PIPELINE_COUNT": "3"}, "JOB_COMPLETION_INDEX is not set"),
        ({"PIPELINE_COUNT": "many", "JOB_COMPLETION_INDEX": "0", "JOB_UID": "a"}, "PIPELINE_COUNT is 'many'"),
        ({"PIPELINE_COUNT": "3", "JOB_COMPLETION_INDEX": "0"}, "JOB_UID is not set"),
    ],
)
def test_wrong_settings_name_the_variable(tmp_path: Path, change: dict[str, str], words: str) -> None:
    source = tmp_path / "source.py"
    source.write_text("def build(): ...")
    env = {"PIPELINE_SOURCE": str(source), "PIPELINE_OUTPUT": "s3://features/digits", **change}
    with pytest.raises(Mlk8sError) as caught:
        PipelineConfig.from_env(env, NOW)
    assert words in str(caught.value)
