"""`mlk8s tenant create|kubeconfig`: a namespace for a team, and the way into it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlk8s.cli.options import Context, DryRun, Kubeconfig, collect, seconds
from mlk8s.cli.output import say
from mlk8s.cli.target import open_cluster

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the tenant: its namespace.")]


class _Standard(StrEnum):
    """Pod Security Standards."""

    RESTRICTED = "restricted"
    BASELINE = "baseline"
    PRIVILEGED = "privileged"


def create(
    name: _Name,
    pod_security: Annotated[
        _Standard, typer.Option("--pod-security", help="Pod Security Standard to enforce.")
    ] = _Standard.RESTRICTED,
    quota: Annotated[
        list[str] | None,
        typer.Option("--quota", metavar="NAME=QUANTITY", help="Sum over the namespace; may be repeated."),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="NAME", help="A user, who gets an account; may be repeated."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="NAME", help="Group of the cluster's own identities; may be repeated."
        ),
    ] = None,
    image_pull_secret: Annotated[
        list[str] | None,
        typer.Option(
            "--image-pull-secret",
            metavar="NAME",
            help="Secret of the namespace to pull images with; may be repeated.",
        ),
    ] = None,
    exec_: Annotated[bool, typer.Option("--exec", help="Users may run commands in pods.")] = False,
    port_forward: Annotated[bool, typer.Option("--port-forward", help="Users may forward ports.")] = False,
    dry_run: Annotated[
        DryRun,
        typer.Option(
            "--dry-run",
            metavar="none|client|server",
            help="client: print the manifests, change nothing; server: let the API server check them.",
        ),
    ] = DryRun.NONE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a namespace that is closed by default, with quota and users, or bring one up to date.

    Everything else a Tenant has (limits, network exceptions, labels) is given in a file: `mlk8s deploy -f`.
    """
    from mlk8s.cli.declare import _pair
    from mlk8s.spec.tenant import Tenant

    values: dict[str, Any] = collect(users=user, groups=group, image_pull_secrets=image_pull_secret)
    if quota:
        values["quota"] = dict(_pair("quota", item) for item in quota)
    spec = Tenant(name=name, pod_security=pod_security.value, exec=exec_, port_forward=port_forward, **values)
    k8s = open_cluster(context, None, kubeconfig)
    if dry_run is not DryRun.NONE:
        from mlk8s.operations import dry_run as rehearsal
        from mlk8s.render.bundle import to_yaml

        planned = rehearsal.manifests(k8s.cluster, k8s.platform, [spec], say=say)
        if dry_run is DryRun.SERVER:
            rehearsal.check(k8s.cluster, planned, say=say)
        else:
            print(to_yaml(planned), end="")
        return
    k8s.apply(spec, say=say)
    print(name)


def kubeconfig(
    name: _Name,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="One of the tenant's users; its only one.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="DURATION", help="How long it is valid, 10m to 720h; 8h by default."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File for its owner only; stdout by default.")
    ] = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print a kubeconfig for a user of a tenant, with a token that expires."""
    import yaml

    from mlk8s.operations.tenant import access

    length = seconds(expires, 8 * 3600.0)
    k8s = open_cluster(context, None, kubeconfig)
    made = access(k8s.cluster, name, user, expires=length)
    text = yaml.safe_dump(made.kubeconfig, sort_keys=False)
    if out is None:
        print(text, end="")
    else:
        _write_private(out, text)
        print(out)
    say(f"valid until {made.expires}; deleting the account ends it sooner")


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, also while it is being written."""
    import os

    from mlk8s.errors import UsageError

    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write the kubeconfig: {error.strerror}", where=str(path)) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def register(app: typer.Typer) -> None:
    """Add `mlk8s tenant`."""
    group = typer.Typer(no_args_is_help=True, help="Namespaces for teams: quota, network, accounts.")
    group.command("create")(create)
    group.command("kubeconfig")(kubeconfig)
    app.add_typer(group, name="tenant", rich_help_panel="Cluster")
