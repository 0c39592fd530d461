"""docs/cli.md from the commands themselves: `python -m mlk8s.cli.reference > docs/cli.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mlk8s.cli.app import command

_HEAD = """# Command line

<!-- Made by `make docs` from the commands themselves; edit those. -->

The verbs are the library's, the options kubectl's where kubectl has them. Data goes to stdout, progress to
stderr; `-o json` and `-o yaml` print results for programs. Every command that reaches a cluster says
first which one it is.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a negative verdict, or a failure |
| 2 | the command or a spec is wrong; nothing was sent |
| 3 | rolled back: the change was undone, the old version serves |
| 4 | time was up and no cause is known |
| 5 | the cluster cannot be reached, or does not allow it |
| 130 | interrupted (Ctrl-C); one line says what state is left |
| 141 | whoever read the output has closed it |

Which cluster: `--kubeconfig`, else a local cluster named by `MLK8S_CLUSTER`, else `KUBECONFIG`, else
`~/.kube/config`, else the pod's service account, else the only local cluster of this machine. `MLK8S_DEBUG=1`
shows tracebacks.

## Specs as files

`mlk8s deploy -f`, `mlk8s job run -f` and `mlk8s cron apply -f` read YAML documents in Kubernetes' form. It is
a file format only: no CRD is installed. `metadata` has `name`, `namespace` and `labels`; `spec` has the
fields of the Python class of that name, under the same names (`help(mlk8s.ModelService)`). A fault is told
with its line. A relative `source` is looked for beside the file.

```yaml
apiVersion: mlk8s.dev/v1
kind: ModelService
metadata: {name: iris, labels: {team: flowers}}
spec:
  model: s3://models/iris/1
  autoscale: {min: 1, max: 8, metric: requests_in_flight, target: 4}
  resources: {cpu: 250m, memory: 512Mi}
---
apiVersion: mlk8s.dev/v1
kind: FeatureCronJob
metadata: {name: iris-features}
spec:
  schedule: 15 3 * * *
  time_zone: Europe/Berlin
  job:
    source: features.py        # its function `build` returns a table
    output: s3://features/iris
    active_deadline: 10m
```

A `FeatureJob` has the fields of `job` above directly in its `spec`.
"""


def reference() -> str:
    """Return the whole of docs/cli.md."""
    root = command()
    with root.make_context("mlk8s", [], resilient_parsing=True) as context:
        return "\n".join([_HEAD, *_commands(root, context, "mlk8s")])


def _commands(group: Any, context: Any, path: str) -> Iterator[str]:
    for name in group.list_commands(context):
        item = group.get_command(context, name)
        with item.make_context(name, [], parent=context, resilient_parsing=True) as inner:
            if hasattr(item, "list_commands"):
                yield from _commands(item, inner, f"{path} {name}")
            else:
                yield _section(item, f"{path} {name}")


def _section(item: Any, path: str) -> str:
    arguments = [param.metavar or param.name for param in item.params if param.param_type_name == "argument"]
    lines = [f"## {path}\n", _paragraphs(item.help), "", f"    {' '.join([path, *arguments])} [OPTIONS]", ""]
    rows = []
    for param in item.params:
        if param.name == "help":
            continue
        shown = param.metavar or ""
        if param.param_type_name == "argument":
            names = f"`{shown or param.name}`"
        else:
            flags = ", ".join([*param.opts, *param.secondary_opts])
            names = f"`{flags}{' ' + shown if shown else ''}`"
        rows.append(f"| {_cell(names)} | {_cell(param.help or '')}{_default(param)} |")
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _paragraphs(text: str | None) -> str:
    parts = re.split(r"\n\s*\n", (text or "").strip())
    return "\n\n".join(" ".join(part.split()) for part in parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(param: Any) -> str:
    value = param.default
    if param.param_type_name == "argument" or value is None or isinstance(value, bool) or callable(value):
        return ""
    return f" Default: `{value}`."


if __name__ == "__main__":
    print(reference(), end="")
