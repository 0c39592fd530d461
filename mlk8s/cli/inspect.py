"""`mlk8s events`, `logs`, `exec`, `port-forward`: what goes on in a model service."""

from __future__ import annotations

from typing import Annotated

import typer

from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import columns, say, show
from mlk8s.cli.services import Name
from mlk8s.cli.target import open_namespace

Pod = Annotated[
    str | None, typer.Option("--pod", metavar="NAME", help="A pod of the service; a ready one by default.")
]
Container = Annotated[
    str | None, typer.Option("--container", "-c", metavar="NAME", help="A container of the pod.")
]


def events(
    name: Name,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the events of a service's objects, newest last; Kubernetes forgets them after an hour."""
    from dataclasses import asdict

    k8s = open_namespace(context, namespace, kubeconfig)
    found = k8s.service(name).events()
    if not found and output is Form.TABLE:
        say(f"no events of {name}; Kubernetes forgets them after an hour")
        return
    rows = [(item.time, item.type, item.reason, item.object, item.message) for item in found]
    head = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
    show([asdict(item) for item in found], output, columns(head, rows))


def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines and new pods until Ctrl-C.")
    ] = False,
    container: Container = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="Only younger lines, such as 5m.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, help="Only the last lines of each container.")
    ] = None,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="The last ended run of each container.")
    ] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time.")] = False,
    pod: Annotated[
        str | None, typer.Option("--pod", metavar="NAME", help="A pod of the service; all by default.")
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the log lines of all pods of a service in the order of time."""
    k8s = open_namespace(context, namespace, kubeconfig)
    lines = k8s.service(name).logs(
        follow=follow, container=container, since=since, tail=tail, previous=previous, pod=pod,
        timestamps=timestamps,
    )  # fmt: skip
    silent = True
    for line in lines:
        silent = False
        print(line, flush=follow)
    if silent:
        say(f"no such line of {name}; `mlk8s why {name}` says why a container has not started")


def exec_(
    name: Name,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="After `--`: words, no shell.")],
    stdin: Annotated[
        bool, typer.Option("--stdin", "-i", help="Hand standard input to the command, to its end.")
    ] = False,
    container: Container = None,
    pod: Pod = None,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a command in a pod of a service; the exit code is the command's."""
    import sys

    from mlk8s.clients.streams import STDERR
    from mlk8s.operations.inspect import run_command

    def output(channel: int, data: bytes) -> None:
        stream = sys.stderr if channel == STDERR else sys.stdout
        stream.buffer.write(data)
        stream.buffer.flush()

    longest = None if timeout is None else seconds(timeout, 60.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    place = k8s.service(name).namespace
    data = sys.stdin.buffer.read() if stdin else None
    result = run_command(
        k8s.cluster, name, place, command, pod=pod, container=container, stdin=data, timeout=longest,
        output=output,
    )  # fmt: skip
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def port_forward(
    name: Name,
    ports: Annotated[
        str, typer.Argument(metavar="[LOCAL:]PORT", help="Port of the pod, and of 127.0.0.1.")
    ] = "8080",
    pod: Pod = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Lead a port of 127.0.0.1 to a ready pod of a service, until Ctrl-C.

    When the pod ends, the next connection goes to another one.
    """
    from mlk8s.errors import UsageError

    local, colon, remote = ports.rpartition(":")
    if not remote.isdigit() or (colon and local and not local.isdigit()):
        raise UsageError(f"ports {ports!r}", expected="PORT, LOCAL:PORT, or :PORT for any free local port")
    wanted = int(remote) if not colon else int(local or 0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with k8s.service(name).port_forward(int(remote), local_port=wanted, pod=pod, say=say) as forward:
        print(f"{forward.url} leads to port {remote} of {name}", flush=True)
        forward.wait()


def register(app: typer.Typer) -> None:
    """Add the commands that look into a service."""
    for function, called in (
        (events, "events"),
        (logs, "logs"),
        (exec_, "exec"),
        (port_forward, "port-forward"),
    ):
        app.command(called, rich_help_panel="Model services")(function)
