"""`mlk8s search-logs`: lines of all pods, also of those that are gone."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlk8s.cli.options import Context, Form, Kubeconfig, Output
from mlk8s.cli.output import say
from mlk8s.cli.target import open_cluster
from mlk8s.errors import UsageError

Text = str | None


def search_logs(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Looked for in each line; '' is every line.")],
    regex: Annotated[bool, typer.Option("--regex", "-E", help="TEXT is a regular expression.")] = False,
    service: Annotated[
        Text, typer.Option("--service", metavar="NAME", help="Pods of a service, StatefulSet, Job, ...")
    ] = None,
    pod: Annotated[
        Text, typer.Option("--pod", metavar="NAME", help="A pod, or a pattern with * and ?.")
    ] = None,
    container: Annotated[
        Text, typer.Option("--container", "-c", metavar="NAME", help="A container, or a pattern.")
    ] = None,
    since: Annotated[
        Text, typer.Option("--since", metavar="WHEN", help="So long ago (10m), or a time; all by default.")
    ] = None,
    until: Annotated[
        Text, typer.Option("--until", metavar="WHEN", help="So long ago, or a time; now by default.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Lines at most, the oldest.")
    ] = None,
    source: Annotated[
        Text,
        typer.Option("--source", metavar="URL", help="s3://... of the lines; the collector's by default."),
    ] = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Annotated[
        Text,
        typer.Option("--namespace", "-n", metavar="NAME", help="A namespace, or a pattern; all by default."),
    ] = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Search the log lines in object storage, oldest first; exit code 1 where there is none.

    The lines are those that a LogCollector has shipped (`mlk8s deploy -f`, kind LogCollector); they stay when
    their pods are gone. `mlk8s logs` shows those of running pods.
    """
    import re

    from mlk8s.storage.log_lines import stamp

    try:
        pattern = re.compile(text if regex else re.escape(text))
    except re.error as error:
        raise UsageError(f"not a regular expression: {error}", where=f"TEXT {text!r}") from None
    k8s = open_cluster(context, None, kubeconfig)
    none = True
    for found in k8s.logs.search(
        pattern, namespace=namespace, service=service, pod=pod, container=container, since=since,
        until=until, limit=limit, source=source,
    ):  # fmt: skip
        none = False
        if output is not Form.TABLE:  # a line of JSON each; in YAML they are the items of one list
            told = json.dumps(found._asdict() | {"time": stamp(found.time)})
            print(f"- {told}" if output is Form.YAML else told)
        else:
            place = f"{found.namespace}/{found.pod}/{found.container}"
            print(f"{found.time:%Y-%m-%dT%H:%M:%S.%f}Z {place} {found.line}")
    if none:
        say("no such line has been shipped; the newest follow some seconds after they were written")
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search-logs", rich_help_panel="Cluster")(search_logs)
