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
            help="Port of 127.0.0.1 for the Ingress; the next two are S3 and HTTPS.",
        ),
    ] = 8080,
    egress: Annotated[bool, typer.Option("--egress", help="Give pods a way out of this machine.")] = False,
    gpus: Annotated[
        int,
        typer.Option("--gpus", metavar="N", min=0, max=64, help="Simulated GPUs that the node advertises."),
    ] = 2,
    optional: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="PARTS",
            help="Optional parts, separated by commas: keda, vpa. They are built the first time, which takes "
            "minutes, and stay until the cluster goes.",
        ),
    ] = None,
    bare: Annotated[
        bool,
        typer.Option(
            "--bare",
            help="No Ingress controller, metrics or object storage: a cluster for manifests/README.md, with "
            "the images that manifests name in its node. `mlk8s up` without it installs the rest.",
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Start a real Kubernetes on this machine, or repair or change the one that is there.

    The native driver needs Linux and root, and no Docker. It installs Debian packages that are missing, after
    naming them; the cluster lives in namespaces of its own, and `mlk8s down` removes all of it.
    """
    from mlk8s.local import drivers
    from mlk8s.local.pins import check_optional
    from mlk8s.local.progress import open_progress

    wanted = tuple(part.strip() for part in (optional or "").split(",") if part.strip())
    check_optional(wanted)
    if bare and wanted:
        raise UsageError(
            f"--bare installs no platform, and {wanted[0]} needs one", expected="--bare or --with, not both"
        )
    again = f"mlk8s up --name {name}"
    left = f"the cluster is half made; '{again}' goes on, 'mlk8s down --name {name}' removes it"
    with leaves(left), open_progress() as progress:
        made = drivers.up(
            name,
            driver=driver.value,
            port=port,
            egress=egress,
            gpus=gpus,
            yes=yes,
            progress=progress,
            bare=bare,
            optional=wanted,
        )
    print(
        facts(
            [
                ("cluster", f"{made.name} (context {made.context})"),
                ("kubeconfig", made.kubeconfig),
                ("ingress", made.ingress_url),
                ("HTTPS", made.ingress_https_url),
                ("S3", made.s3_url),
            ]
        )
    )
    kubectl = f"export KUBECONFIG={made.kubeconfig}"
    say(
        f"next: {kubectl}, then manifests/README.md"
        if bare
        else f"next: mlk8s doctor, or {kubectl} for kubectl"
    )


def down(
    name: ClusterName = DEFAULT,
    every: Annotated[bool, typer.Option("--all", help="Every local cluster of this machine.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the cache of downloaded and built parts, too.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove a local cluster: its processes, data, links, routes and mounts; the cache stays."""
    from mlk8s.local import drivers
    from mlk8s.local.progress import open_progress

    names = _names() if every else [name]
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

    names = _names()
    if name is not None and name not in names:
        raise NotFound(
            f"no local cluster is named {name!r}", where=str(registry.state_root()),
            expected=f"one of: {', '.join(names)}" if names else None, next_step=f"mlk8s up --name {name}",
        )  # fmt: skip
    wanted = [name] if name is not None else names
    found = [_values(item) if (item := native.status(one)) is not None else _outside(one) for one in wanted]
    if not found and output is Form.TABLE:
        say("no local cluster; `mlk8s up` starts one")
    else:
        show(found, output, _one(found[0]) if name is not None else _all(found))
    if not all(item["running"] for item in found):
        raise typer.Exit(1)


def _names() -> list[str]:
    """Return the native clusters, and those that kind, k3d or minikube run for us."""
    from mlk8s.clients.kubeconfig import local_kubeconfigs
    from mlk8s.local import registry

    native = registry.clusters()
    return [*native, *(name for name in local_kubeconfigs() if name not in native)]


def _values(item: Status) -> dict[str, Any]:
    local = item.local
    stopped = [part.name for part in item.components if part.pid is None]
    state = "running" if item.running else f"not ready: {item.message}"
    if stopped:
        whole = len(stopped) == len(item.components)
        state = "stopped" if whole else f"not running: {', '.join(stopped)}"
    return {
        "name": local.name, "driver": "native", "running": item.running, "state": state,
        "version": item.version or None, "memory_bytes": item.memory, "context": local.context,
        "kubeconfig": str(local.kubeconfig), "ingress_url": local.ingress_url, "s3_url": local.s3_url,
        "ingress_https_url": local.ingress_https_url,
        "components": [
            {"name": part.name, "pid": part.pid, "rss_bytes": part.rss, "uptime_seconds": part.uptime}
            for part in item.components
        ],
        "optional": dict(item.optional),
    }  # fmt: skip


def _outside(name: str) -> dict[str, Any]:
    """Return what the API server of a cluster of another tool says; its processes are that tool's."""
    from mlk8s.clients.cluster import Cluster
    from mlk8s.clients.kubeconfig import local_kubeconfigs
    from mlk8s.clients.platform import discover
    from mlk8s.errors import Mlk8sError

    kubeconfig = local_kubeconfigs()[name]
    note = kubeconfig.with_name("driver")
    values: dict[str, Any] = {
        "name": name, "driver": note.read_text().strip() if note.exists() else None, "running": False,
        "kubeconfig": str(kubeconfig), "components": [],
    }  # fmt: skip
    try:
        cluster = Cluster.connect(kubeconfig=kubeconfig)
        values |= {"context": cluster.context, "version": cluster.version()}
        platform = discover(cluster)
    except Mlk8sError as error:
        return values | {"state": error.what}
    urls = {"ingress_url": platform.ingress_url, "s3_url": platform.s3_endpoint_outside}
    urls["ingress_https_url"] = platform.ingress_https_url
    return values | urls | {"running": True, "state": "running"}


def _all(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            item["name"],
            item["driver"],
            item["state"],
            item.get("version"),
            item.get("ingress_url"),
            _memory(item),
        )
        for item in found
    ]
    return columns(("NAME", "DRIVER", "STATE", "VERSION", "INGRESS", "MEMORY"), rows)


def _one(item: dict[str, Any]) -> str:
    head = facts(
        [
            ("cluster", item["name"]),
            ("driver", item["driver"]),
            ("state", item["state"]),
            ("version", item.get("version")),
            ("memory", _memory(item)),
            ("context", item.get("context")),
            ("kubeconfig", item["kubeconfig"]),
            ("ingress", item.get("ingress_url")),
            ("HTTPS", item.get("ingress_https_url")),
            ("S3", item.get("s3_url")),
            ("with", _optional(item.get("optional") or {})),
        ]
    )
    rows = [
        (part["name"], part["pid"], _mebibytes(part["rss_bytes"]), f"{part['uptime_seconds']:.0f} s")
        if part["pid"]
        else (part["name"], None, None, None)
        for part in item["components"]
    ]
    return f"{head}\n\n{columns(('COMPONENT', 'PID', 'MEMORY', 'UP'), rows)}" if rows else head


def _optional(parts: dict[str, bool]) -> str | None:
    return ", ".join(name if ready else f"{name} (not ready)" for name, ready in parts.items()) or None


def _memory(item: dict[str, Any]) -> str | None:
    return _mebibytes(item["memory_bytes"]) if item.get("memory_bytes") else None


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def register(app: typer.Typer) -> None:
    """Add `mlk8s up`, `down` and `status`."""
    for function in (up, down, status):
        app.command(function.__name__, rich_help_panel=_PANEL)(function)
