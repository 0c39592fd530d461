"""`mlk8s up`, `down` and `status`: clusters on this machine."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import ClusterName, Form, Output, Yes
from mlk8s.cli.output import columns, facts, say, show
from mlk8s.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mlk8s.local.native import Status

_PANEL = "Local cluster"
DEFAULT = "mlk8s"


class Driver(StrEnum):
    """What makes the cluster."""

    AUTO = "auto"
    NATIVE = "native"
    KIND = "kind"
    K3D = "k3d"
    MINIKUBE = "minikube"


def up(
    name: ClusterName = DEFAULT,
    driver: Annotated[
        Driver,
        typer.Option(
            "--driver",
            metavar="DRIVER",
            help="auto, native, kind, k3d or minikube; auto takes one of the last three where Docker "
            "answers, else native.",
        ),
    ] = Driver.AUTO,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="PORT",
            min=1024,
            max=65534,
            help="Port of 127.0.0.1 for the Ingress; S3 gets the next one.",
        ),
    ] = 8080,
    egress: Annotated[bool, typer.Option("--egress", help="Give pods a way out of this machine.")] = False,
    gpus: Annotated[
        int,
        typer.Option("--gpus", metavar="N", min=0, max=64, help="Simulated GPUs that the node advertises."),
    ] = 2,
    yes: Yes = False,
) -> None:
    """Start a real Kubernetes on this machine, or repair or change the one that is there.

    The native driver needs Linux and root, and no Docker. It installs Debian packages that are missing, after
    naming them; the cluster lives in namespaces of its own, and `mlk8s down` removes all of it.
    """
    from mlk8s.local import drivers
    from mlk8s.local.progress import open_progress

    again = f"mlk8s up --name {name}"
    left = f"the cluster is half made; '{again}' goes on, 'mlk8s down --name {name}' removes it"
    with leaves(left), open_progress() as progress:
        made = drivers.up(
            name, driver=driver.value, port=port, egress=egress, gpus=gpus, yes=yes, progress=progress
        )
    print(
        facts(
            [
                ("cluster", f"{made.name} (context {made.context})"),
                ("kubeconfig", made.kubeconfig),
                ("ingress", made.ingress_url),
                ("S3", made.s3_url),
            ]
        )
    )
    say(f"next: mlk8s doctor, or export KUBECONFIG={made.kubeconfig} for kubectl")


def down(
    name: ClusterName = DEFAULT,
    every: Annotated[bool, typer.Option("--all", help="Every local cluster of this machine.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the cache of downloaded and built parts, too.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove a local cluster: its processes, data, links, routes and mounts; the cache stays."""
    from mlk8s.local import drivers, registry
    from mlk8s.local.progress import open_progress

    names = list(registry.clusters()) if every else [name]
    if not names:
        say("no local cluster")
        return
    if not yes:
        _ask(f"Remove {', '.join(names)} with all data in it?")
    for one in names:
        left = f"the cluster is half removed; 'mlk8s down --name {one}' removes the rest"
        with leaves(left), open_progress() as progress:
            found = drivers.down(one, purge=purge, progress=progress)
        say(f"{one}: removed" if found else f"{one}: there is no local cluster of this name")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("removing a cluster needs a yes", next_step="add --yes")
    if not typer.confirm(question, err=True):
        say("nothing was removed")
        raise typer.Exit(1)


def status(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="One local cluster; every one by default.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Show the local clusters of this machine; exit code 1 says that one does not run as it should."""
    from mlk8s.local import native, registry

    names = list(registry.clusters())
    if name is not None and name not in names:
        raise NotFound(
            f"no local cluster is named {name!r}", where=str(registry.state_root()),
            expected=f"one of: {', '.join(names)}" if names else None, next_step=f"mlk8s up --name {name}",
        )  # fmt: skip
    found = [item for one in ([name] if name else names) if (item := native.status(one)) is not None]
    if output is not Form.TABLE:
        show([_values(item) for item in found], output, "")
    elif not found:
        say("no local cluster; `mlk8s up` starts one")
    elif name is not None:
        print(_one(found[0]))
    else:
        rows = [
            (
                item.local.name,
                _word(item),
                item.version or None,
                item.local.ingress_url,
                _mebibytes(item.memory),
            )
            for item in found
        ]
        print(columns(("NAME", "STATE", "VERSION", "INGRESS", "MEMORY"), rows))
    if not all(item.running for item in found):
        raise typer.Exit(1)


def _one(item: Status) -> str:
    local = item.local
    head = facts(
        [
            ("cluster", f"{local.name} (context {local.context})"),
            ("state", _word(item)),
            ("version", item.version or None),
            ("memory", _mebibytes(item.memory)),
            ("kubeconfig", local.kubeconfig),
            ("ingress", local.ingress_url),
            ("S3", local.s3_url),
        ]
    )
    rows = [
        (
            part.name,
            part.pid,
            _mebibytes(part.rss) if part.pid else None,
            f"{part.uptime:.0f} s" if part.pid else None,
        )
        for part in item.components
    ]
    return f"{head}\n\n{columns(('COMPONENT', 'PID', 'MEMORY', 'UP'), rows)}"


def _word(item: Status) -> str:
    if item.running:
        return "running"
    stopped = [part.name for part in item.components if part.pid is None]
    if len(stopped) == len(item.components):
        return "stopped"
    return f"not running: {', '.join(stopped)}" if stopped else f"not ready: {item.message}"


def _values(item: Status) -> dict[str, Any]:
    local = item.local
    return {
        "name": local.name, "context": local.context, "running": item.running, "message": item.message,
        "version": item.version, "memory_bytes": item.memory, "kubeconfig": str(local.kubeconfig),
        "ingress_url": local.ingress_url, "s3_url": local.s3_url,
        "components": [
            {"name": part.name, "pid": part.pid, "rss_bytes": part.rss, "uptime_seconds": part.uptime}
            for part in item.components
        ],
    }  # fmt: skip


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def register(app: typer.Typer) -> None:
    """Add `mlk8s up`, `down` and `status`."""
    for function in (up, down, status):
        app.command(function.__name__, rich_help_panel=_PANEL)(function)
