"""The Helm chart: helm renders the objects that the library renders, for its own values and for others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlk8s.cli.documents import read_specs
from mlk8s.clients.platform import Platform
from mlk8s.local import parts
from mlk8s.local.progress import SILENT
from mlk8s.operations.facts import render_facts
from mlk8s.render.service import render_service
from mlk8s.render.stored import stored_spec
from mlk8s.spec.export import Export
from mlk8s.spec.service import ModelService

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def helm() -> Path:
    return parts.ensure(["helm"], progress=SILENT)["helm"]


def _template(helm: Path, namespace: str, *options: str) -> dict[str, Any]:
    command = [helm, "template", "any", MANIFESTS / "chart", "--namespace", namespace, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {item["kind"]: item for item in yaml.safe_load_all(done.stdout)}


def _rendered(namespace: str, **changes: Any) -> dict[str, Any]:
    read = read_specs(str(MANIFESTS / "mlk8s.yaml"), also=(Export,))
    export = next(spec for spec in read if isinstance(spec, Export))
    service = next(spec for spec in read if isinstance(spec, ModelService)).replace(**changes)
    return {
        item["kind"]: item
        for item in render_service(service, render_facts(Platform.parse(export.platform), namespace))
    }


def test_helm_renders_what_the_library_renders(helm: Path) -> None:
    found, wanted = _template(helm, "models"), _rendered("models")
    assert stored_spec(found["Deployment"]) == stored_spec(wanted["Deployment"]).replace(  # type: ignore[union-attr]
        image="localhost/mlk8s/server:0.1.0"
    )
    assert _without_spec(found) == _without_spec(wanted)


def test_other_values_give_what_the_library_renders_for_them(helm: Path) -> None:
    options = ("version=7", "image=registry.example.com/own/server:2", "resources.memory=1Gi")
    options += ("autoscale.min=3", "autoscale.max=5")
    found = _template(helm, "other", *(part for item in options for part in ("--set", item)))
    wanted = _rendered(
        "other",
        model="s3://models/digits/7",
        image="registry.example.com/own/server:2",
        autoscale={"min": 3, "max": 5, "target": 4},
        resources={"memory": "1Gi"},
    )
    assert _without_spec(found) == _without_spec(wanted)
    assert found["ConfigMap"]["metadata"]["name"] != _rendered("models")["ConfigMap"]["metadata"]["name"]


def _without_spec(manifests: dict[str, Any]) -> dict[str, Any]:
    """The manifests without the spec annotation: the chart's names its image, the library's leaves it out."""
    manifests["Deployment"]["metadata"]["annotations"].pop("mlk8s.dev/spec")
    return manifests
