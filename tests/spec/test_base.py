"""What every declared value shares: one of one, and messages in one form."""

from __future__ import annotations

from typing import Any

import pytest

import mlk8s
from mlk8s.errors import SpecError

SIDE = mlk8s.Container("side", "registry.example.com/side:1")


def unnamed() -> Any:
    make: Any = mlk8s.ModelService
    return make("iris", "s3://models/iris/1")


def service(**values: Any) -> mlk8s.ModelService:
    return mlk8s.ModelService(name="iris", model="s3://models/iris/1", **values)


def test_one_value_may_stand_where_several_may() -> None:
    toleration: Any = mlk8s.Toleration(key="team")
    assert service(sidecars=SIDE).sidecars == (SIDE,)
    assert service(init=[SIDE]).init == (SIDE,)
    assert mlk8s.Scheduling(tolerations=toleration).tolerations == (toleration,)
    assert service(sidecars={"name": "side", "image": SIDE.image}).sidecars == (SIDE,)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda: mlk8s.Container("a", SIDE.image, command="python app.py"),
            "Container.command: expected a list; found 'python app.py'",
        ),
        (
            lambda: mlk8s.Container("a", SIDE.image, env={"A": 1}),
            "Container.env.A: expected a string; found 1",
        ),
        (lambda: service(sidecars=("side",)), "ModelService.sidecars.0: expected a Container; found 'side'"),
        (lambda: service(gpu=mlk8s.Gpu(0)), "Gpu.count: expected greater than or equal to 1; found 0"),
        (
            lambda: service(secret_files={"/etc/db": "DB"}),
            "ModelService.secret_files: expected a DNS-1123 label: lower-case letters, digits and '-', "
            "starting and ending with a letter or digit, at most 63 characters; found {'/etc/db': 'DB'}",
        ),
        (
            unnamed,
            "ModelService: 'iris' stands without the name of its field; "
            "expected ModelService(name=..., model=...)",
        ),
        (
            lambda: mlk8s.ModelService(name="iris", model="s3://m/iris/1"),
            "ModelService.model: bucket 'm': expected 3 to 63 lower-case letters, digits, '-' and '.'; "
            "found 's3://m/iris/1'",
        ),
        # Of fields that disagree the message names what was found; all of them again would say no more.
        (
            lambda: mlk8s.Probe(tcp=True, http_get="/x"),
            "Probe: http_get and tcp are given; expected one question",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make: Any, line: str) -> None:
    with pytest.raises(SpecError) as error:
        make()
    assert str(error.value).splitlines()[0] == line
