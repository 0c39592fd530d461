"""A Helm chart of one model service: its manifests, rendered with marks where the values go.

With the chart's own values `helm template` gives the objects that the library renders; with others, those
that it would render for them. The one thing that is computed in the chart is the hash in the ConfigMap's
name, by the rule of `render.common.digest`: canonical JSON, SHA-256, ten digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlk8s.errors import UsageError
from mlk8s.render.bundle import to_text
from mlk8s.render.common import Manifest, model_version
from mlk8s.render.facts import RenderFacts
from mlk8s.render.kustomize import HEADER, Files
from mlk8s.render.service import render_service
from mlk8s.spec.service import ModelService

_CHART_VERSION = "0.1.0"


@dataclass(frozen=True)
class _Value:
    """One value of the chart: `mark` stands for it while the manifests are rendered."""

    path: str
    default: Any
    mark: str
    about: str

    @property
    def expression(self) -> str:
        return f"{{{{ .Values.{self.path} }}}}"


def chart_files(folder: str, name: str, spec: ModelService, facts: RenderFacts) -> Files:
    """Return the files of the chart.

    Raises:
        UsageError: the service has settings that the chart cannot carry: its model has no version in its
            path, or its image is named nowhere.
    """
    values, marked, marked_facts = _mark(spec, facts)
    manifests = render_service(marked, marked_facts)
    config = next(item for item in manifests if item["kind"] == "ConfigMap")
    fill = _filler(values, config["metadata"]["name"], spec.name)
    data = fill(to_text(dict(sorted(config["data"].items()))))
    helpers = (
        f'{{{{- define "{spec.name}.data" -}}}}\n{data}{{{{- end }}}}\n'
        f'{{{{- define "{spec.name}.hash" -}}}}\n'
        f'{{{{ fromYaml (include "{spec.name}.data" .) | toRawJson | sha256sum | trunc 10 }}}}\n'
        "{{- end }}\n"
    )
    files = {
        f"{folder}/Chart.yaml": HEADER + to_text(_chart(name, spec)),
        f"{folder}/values.yaml": HEADER + _values(values),
        f"{folder}/templates/_helpers.tpl": helpers,
    }
    for item in manifests:
        body = dict(item)
        if item is config:
            body["data"] = "MLK8S-DATA"
        text = fill(to_text(body))
        text = text.replace("data: MLK8S-DATA", f'data:\n{{{{ include "{spec.name}.data" . | indent 2 }}}}')
        files[f"{folder}/templates/{item['kind'].lower()}.yaml"] = text
    return files


def _mark(spec: ModelService, facts: RenderFacts) -> tuple[list[_Value], ModelService, RenderFacts]:
    """Return the values, and spec and facts with marks in their places."""
    version, image = model_version(spec.model), spec.image or facts.server_image
    if image is None or not version or version == spec.model:
        raise UsageError(
            f"a chart of {spec.name} needs an image and a model with a version in its path",
            expected="server-image in the platform, and a model such as s3://models/iris/1",
        )
    values = [
        # a number in quotes: so YAML quotes it wherever it stands alone
        _Value("version", version, "7919", "last part of the model's address"),
        _Value("image", image, "mark.example/server:mark", "model server"),
        _Value("resources.cpu", spec.resources.cpu, "711m", "CPU request of a pod"),
        _Value("resources.memory", spec.resources.memory, "713Mi", "memory request and limit of a pod"),
    ]
    changes: dict[str, Any] = {
        "model": spec.model[: -len(version)] + values[0].mark,
        "image": values[1].mark,
        "digest": None,  # of one version; another has another
        "resources": spec.resources.replace(cpu=values[2].mark, cpu_limit="717", memory=values[3].mark),
    }
    cpu_limit = spec.resources.cpu_limit
    if cpu_limit is None:
        changes["resources"] = changes["resources"].replace(cpu_limit=None)
    else:
        values.append(_Value("resources.cpuLimit", cpu_limit, "717", "CPU limit of a pod"))
    if spec.autoscale is None:
        values.append(_Value("replicas", spec.replicas, "719", "pods"))
        changes["replicas"] = 719
    else:
        values += [
            _Value("autoscale.min", spec.autoscale.min, "811", "fewest pods"),
            _Value("autoscale.max", spec.autoscale.max, "977", "most pods"),
        ]
        changes["autoscale"] = spec.autoscale.replace(min=811, max=977)
    marked = spec.replace(**changes)
    return values, marked, _marked_facts(facts)


def _marked_facts(facts: RenderFacts) -> RenderFacts:
    from dataclasses import replace

    return replace(facts, namespace="mark-namespace")


def _filler(values: list[_Value], config: str, service: str) -> Callable[[str], str]:
    """Return the function that puts template expressions in the places of the marks."""
    swaps = {value.mark: value.expression for value in values}
    swaps["mark-namespace"] = "{{ .Release.Namespace }}"
    swaps[config] = f'{service}-{{{{ include "{service}.hash" . }}}}'
    # A number must not be found inside another one.
    marks = (
        rf"(?<![\w.]){mark}(?!\w)" if mark[0].isdigit() else re.escape(mark)
        for mark in sorted(swaps, key=len, reverse=True)
    )
    pattern = re.compile("|".join(marks))
    return lambda text: pattern.sub(lambda found: swaps[found[0]], text)


def _values(values: list[_Value]) -> str:
    tree: dict[str, Any] = {}
    for value in values:
        *above, last = value.path.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value.default
    about = "".join(f"# {value.path}: {value.about}\n" for value in values)
    return about + to_text(tree)


def _chart(name: str, spec: ModelService) -> Manifest:
    return {
        "apiVersion": "v2",
        "name": name,
        "description": f"Model service {spec.name}, rendered by mlk8s",
        "type": "application",
        "version": _CHART_VERSION,
        "appVersion": json.dumps(model_version(spec.model)).strip('"'),
    }
