"""From options to a spec, and the forms that values have on a command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlk8s.cli.data import headers, read_inputs
from mlk8s.cli.declare import from_options
from mlk8s.cli.options import seconds
from mlk8s.cli.output import columns, facts
from mlk8s.errors import SpecError, UsageError

MODEL = {"model": "s3://models/iris/1"}


def test_only_given_options_reach_the_spec() -> None:
    plain = from_options("iris", dict(MODEL))
    assert plain.replicas == 2 and plain.autoscale is None and plain.gpu is None and plain.route is not None
    full = from_options(
        "iris",
        MODEL
        | {
            "max": 8,
            "target": 4.0,
            "gpu": 1,
            "memory": "1Gi",
            "host": "a.example",
            "env": ["A=b=c"],
            "label": ["t=x"],
        },
    )
    assert (
        full.autoscale is not None
        and full.autoscale.max == 8
        and full.gpu is not None
        and full.gpu.count == 1
    )
    assert full.resources.memory == "1Gi" and full.route is not None and full.route.host == "a.example"
    assert full.env == {"A": "b=c"} and full.labels == {"t": "x"}


def test_a_cpu_request_above_the_default_limit_takes_the_limit_with_it() -> None:
    spec = from_options("iris", MODEL | {"cpu": "2"})
    assert (spec.resources.cpu, spec.resources.cpu_limit) == ("2", "2")
    assert from_options("iris", MODEL | {"cpu": "500m"}).resources.cpu_limit == "1"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"min": 1}, UsageError, "--max and --target is missing"),
        ({"replicas": 2, "max": 3, "target": 1.0}, SpecError, "replicas and autoscale are both given"),
        ({"cpu": "lots"}, SpecError, "quantity"),
        ({"env": ["A"]}, UsageError, "not KEY=VALUE"),
        ({"config_file": ["settings.yaml"]}, UsageError, "'settings.yaml' is not PATH=FILE"),
        ({"env": ["DB_PASSWORD=x"]}, SpecError, "looks like a secret"),
        ({"gpu": 0}, SpecError, "Gpu.count"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        from_options("iris", MODEL | options)


def test_durations_are_kubectls() -> None:
    assert seconds(None, 7.0) == 7.0
    assert [seconds(text, 0) for text in ("90s", "1m30s", "90", "0.5", "0")] == [90, 90, 90, 0.5, 0]
    for text in ("-1s", "soon", "", "1.2.3"):
        with pytest.raises(UsageError, match="duration"):
            seconds(text, 0)


def test_inputs_are_rows_arrays_by_name_or_a_v2_request(tmp_path: Path) -> None:
    assert read_inputs("[[1, 2]]") == [[1, 2]]
    assert read_inputs('{"a": [1]}') == {"a": [1]}
    v2 = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    (tmp_path / "v2.json").write_text(json.dumps(v2))
    assert read_inputs(f"@{tmp_path}/v2.json")["x"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("[[1,", "line 1, column 5"),
        ("3", "the data is 3"),
        ("@/not/there", "No such file"),
        ('{"inputs": [{}]}', "V2"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused(data: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_inputs(data)
    assert words in str(caught.value)


def test_headers_need_a_colon() -> None:
    assert headers(["X-Canary: always", "A:b"]) == {"X-Canary": "always", "A": "b"}
    with pytest.raises(UsageError, match="NAME: VALUE"):
        headers(["X-Canary"])


def test_tables_are_aligned_and_nothing_is_cut() -> None:
    table = columns(("NAME", "URL"), [("a", None), ("longer", "http://" + "x" * 100)])
    first, second, third = table.splitlines()
    assert first.index("URL") == second.index("-") == third.index("http")
    assert third.endswith("x" * 100)
    assert facts([("a", 1), ("longer", 2), ("none", None)]) == "a:      1\nlonger: 2"
