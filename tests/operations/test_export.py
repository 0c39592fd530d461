"""An export is what the library renders: kubectl's kustomize builds the same from it; drift is told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlk8s.cli.documents import read_specs
from mlk8s.clients.platform import Platform
from mlk8s.errors import SpecError
from mlk8s.local import parts
from mlk8s.local.progress import SILENT
from mlk8s.operations.export import drift, exported, write
from mlk8s.operations.facts import render_facts
from mlk8s.render.service import render_service
from mlk8s.spec.base import Spec
from mlk8s.spec.export import Export
from mlk8s.spec.service import ModelService

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def documents() -> tuple[Export, list[Spec]]:
    read = read_specs(str(MANIFESTS / "mlk8s.yaml"), also=(Export,))
    (export,) = (spec for spec in read if isinstance(spec, Export))
    return export, [spec for spec in read if not isinstance(spec, Export)]


@pytest.fixture(scope="module")
def kubectl() -> Path:
    return parts.ensure(["kubectl"], progress=SILENT)["kubectl"]


def _built(kubectl: Path, folder: Path) -> dict[tuple[str, str], Any]:
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return _by_name(yaml.safe_load_all(done.stdout))


def _by_name(manifests: Any) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests}


def test_the_tracked_manifests_are_what_their_specs_render(documents: tuple[Export, list[Spec]]) -> None:
    assert drift(exported(*documents), MANIFESTS) == ""


@pytest.mark.parametrize("overlay", ["kind", "minikube", "cloud-gpu", "promoted"])
def test_kustomize_builds_from_an_overlay_what_the_library_renders(
    documents: tuple[Export, list[Spec]], kubectl: Path, overlay: str
) -> None:
    export, specs = documents
    built = _built(kubectl, MANIFESTS / "overlays" / overlay)
    place = export.overlays[overlay]
    service = next(spec for spec in specs if isinstance(spec, ModelService))
    changed = service.replace(**place.changes["ModelService/digits"])
    facts = render_facts(Platform.parse({**export.platform, **place.platform}), export.namespace)
    for key, wanted in _by_name(render_service(changed, facts)).items():
        assert built.pop(key) == wanted, key
    assert {kind for kind, _ in built} == {"CronJob", "ConfigMap", "NetworkPolicy", "ServiceAccount"}
    assert not any(name.startswith("digits-") and name != "digits-features" and "features" not in name
                   for _, name in built)  # fmt: skip


def test_an_edit_a_missing_file_and_a_stale_one_are_drift(
    documents: tuple[Export, list[Spec]], tmp_path: Path
) -> None:
    files = exported(*documents)
    assert sorted(files) == write(files, tmp_path)
    assert write(files, tmp_path) == []
    edited = tmp_path / "base" / "modelservice-digits.yaml"
    edited.write_text(edited.read_text().replace("maxReplicas: 8", "maxReplicas: 9"))
    (tmp_path / "chart" / "values.yaml").unlink()
    stale = tmp_path / "base" / "modelservice-old.yaml"
    stale.write_text(next(iter(files.values())))
    kept = tmp_path / "base" / "mine.yaml"
    kept.write_text("# not ours\n")
    told = drift(files, tmp_path)
    assert "-  maxReplicas: 9\n+  maxReplicas: 8\n" in told
    assert "chart/values.yaml" in told and "modelservice-old.yaml" in told and "mine.yaml" not in told
    assert write(files, tmp_path) == [
        "base/modelservice-digits.yaml", "base/modelservice-old.yaml", "chart/values.yaml",
    ]  # fmt: skip
    assert kept.exists() and drift(files, tmp_path) == ""


def test_what_an_export_refers_to_has_to_be_declared(documents: tuple[Export, list[Spec]]) -> None:
    export, specs = documents
    with pytest.raises(SpecError, match="ModelService 'iris', which is declared nowhere"):
        exported(export.replace(chart="iris"), specs)
    with pytest.raises(SpecError, match="changes ModelService/iris, which is declared nowhere"):
        exported(export.replace(overlays={"x": {"changes": {"ModelService/iris": {}}}}), specs)
    with pytest.raises(SpecError, match="expected KIND/NAME"):
        export.replace(overlays={"x": {"changes": {"iris": {}}}})
    with pytest.raises(SpecError, match="platform has no server-image"):
        export.replace(platform={})
