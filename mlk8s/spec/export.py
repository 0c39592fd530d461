"""What is written as files: specs for one platform, and how they differ on others."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.canary import Canary
from mlk8s.spec.fields import Name, Namespace


def _platform(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"platform key {key!r} is {text!r}; expected text, as in a ConfigMap")
    return value


def _changes(value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for target in value:
        kind, slash, name = target.partition("/")
        if not (kind and slash and name):
            raise ValueError(
                f"{target!r}: expected KIND/NAME of a declared object, such as ModelService/iris"
            )
    return value


PlatformData = Annotated[dict[str, str], AfterValidator(_platform)]


class Overlay(Spec):
    """One place that the specs are for as well.

    Attributes:
        platform: keys of ConfigMap mlk8s-platform that differ there.
        changes: fields of specs that differ there, by KIND/NAME.
    """

    platform: PlatformData = {}
    changes: Annotated[dict[str, dict[str, Any]], AfterValidator(_changes)] = {}


class Export(Spec):
    """How the specs of a file become folders of manifests.

    Attributes:
        name: of the Helm chart.
        namespace: of every object whose spec names none.
        platform: what the cluster offers, under the keys of ConfigMap mlk8s-platform.
        overlays: other places, by the name of their folder.
        canaries: of a ModelService, by its name: folder `canary`.
        chart: name of the ModelService that the Helm chart is of; None writes no chart.
    """

    name: Name
    namespace: Namespace
    platform: PlatformData = {}
    overlays: dict[Name, Overlay] = {}
    canaries: dict[Name, Canary] = {}
    chart: Name | None = None

    @model_validator(mode="after")
    def _complete(self) -> Export:
        if "server-image" not in self.platform:
            raise ValueError("platform has no server-image: no cluster is asked, so the file has to say it")
        return self
