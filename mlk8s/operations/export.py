"""Specs as folders of manifests (kustomize base, overlays, canary, Helm chart), and whether they drifted."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from mlk8s.clients.platform import Platform
from mlk8s.errors import SpecError
from mlk8s.operations.facts import render_facts
from mlk8s.render.canary import render_canary
from mlk8s.render.chart import chart_files
from mlk8s.render.common import Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import render_cron_job, render_job
from mlk8s.render.kustomize import HEADER, Files, base_files, overlay_files
from mlk8s.render.objects import render
from mlk8s.render.service import render_service
from mlk8s.spec.base import Spec
from mlk8s.spec.export import Export, Overlay
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.service import ModelService

_OWN = ("base", "overlays", "canary", "chart")


def exported(export: Export, specs: Sequence[Spec]) -> Files:
    """Return every file of an export by its path below the target folder; nothing is read or written.

    Raises:
        SpecError: a name that the export refers to is declared nowhere, or a changed field is wrong.
        UsageError: a spec needs something that the platform does not say.
    """
    groups = _render(specs, export, export.platform)
    files = base_files("base", groups)
    below = [item for items in groups.values() for item in items]
    for name, overlay in export.overlays.items():
        changed = [_changed(spec, overlay) for spec in specs]
        _all_named(export, overlay, specs)
        wanted = _render(changed, export, {**export.platform, **overlay.platform})
        files |= overlay_files(
            f"overlays/{name}", "../../base", below, [item for items in wanted.values() for item in items]
        )
    if export.canaries:
        facts = _facts(export, export.platform)
        canaries = {
            f"{name}-canary": render_canary(
                _service(export, specs, name), canary, facts, weight=canary.weight
            )
            for name, canary in export.canaries.items()
        }
        files |= base_files("canary", canaries)
    if export.chart is not None:
        service = _service(export, specs, export.chart)
        files |= chart_files("chart", export.name, service, _facts(export, export.platform))
    return files


def write(files: Files, folder: Path) -> list[str]:
    """Write the files, remove what an earlier export left, and return the paths that changed.

    Raises:
        OSError: the folder cannot be written.
    """
    changed = []
    for path, text in files.items():
        target = folder / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    for path in _stale(files, folder):
        (folder / path).unlink()
        changed.append(path)
    return sorted(changed)


def drift(files: Files, folder: Path) -> str:
    """Return the unified diff from what is in the folder to what the specs render; empty without any."""
    lines: list[str] = []
    for path, text in sorted({**files, **dict.fromkeys(_stale(files, folder), "")}.items()):
        target = folder / path
        found = target.read_text(encoding="utf-8") if target.exists() else ""
        lines += difflib.unified_diff(
            found.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"{folder / path}",
            f"{path} (specs)",
        )
    return "".join(lines)


def _stale(files: Files, folder: Path) -> list[str]:
    """Paths of files that an export wrote, by their first line, and would write no more."""
    found = []
    for own in _OWN:
        for path in sorted((folder / own).rglob("*.yaml")):
            name = path.relative_to(folder).as_posix()
            if name not in files and path.read_text(encoding="utf-8").startswith(HEADER):
                found.append(name)
    return found


def _render(specs: Sequence[Spec], export: Export, platform: dict[str, str]) -> dict[str, list[Manifest]]:
    groups: dict[str, list[Manifest]] = {}
    for spec in specs:
        name = f"{type(spec).__name__.lower()}-{_name(spec)}"
        groups[name] = _manifests(spec, _facts(export, platform, spec))
    return groups


def _manifests(spec: Spec, facts: RenderFacts) -> list[Manifest]:
    if isinstance(spec, ModelService):
        return render_service(spec, facts)
    if isinstance(spec, FeatureJob):
        return render_job(spec, facts)
    if isinstance(spec, FeatureCronJob):
        return render_cron_job(spec, facts)
    return render(spec, facts)


def _facts(export: Export, platform: dict[str, str], spec: Spec | None = None) -> RenderFacts:
    inner = spec.job if isinstance(spec, FeatureCronJob) else spec
    return render_facts(Platform.parse(platform), getattr(inner, "namespace", None) or export.namespace)


def _name(spec: Spec) -> str:
    return str(getattr(spec.job if isinstance(spec, FeatureCronJob) else spec, "name", "object"))


def _changed(spec: Spec, overlay: Overlay) -> Spec:
    changes = overlay.changes.get(f"{type(spec).__name__}/{_name(spec)}")
    changed: Spec = spec.replace(**changes) if changes else spec
    return changed


def _all_named(export: Export, overlay: Overlay, specs: Sequence[Spec]) -> None:
    known = {f"{type(spec).__name__}/{_name(spec)}" for spec in specs}
    for target in overlay.changes:
        if target not in known:
            raise SpecError(
                f"an overlay of export {export.name!r} changes {target}, which is declared nowhere",
                expected=f"one of: {', '.join(sorted(known))}",
            )


def _service(export: Export, specs: Sequence[Spec], name: str) -> ModelService:
    for spec in specs:
        if isinstance(spec, ModelService) and spec.name == name:
            return spec
    known = [spec.name for spec in specs if isinstance(spec, ModelService)]
    raise SpecError(
        f"export {export.name!r} names the ModelService {name!r}, which is declared nowhere",
        expected=f"one of: {', '.join(known) or 'none'}",
    )
