"""`mlk8s tls create`: the Secret of a route's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlk8s.cli.options import Context, Kubeconfig, Namespace
from mlk8s.cli.output import say
from mlk8s.cli.target import open_namespace


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Secret: Route(tls=NAME).")],
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="DNS name the certificate is for.")],
    cert: Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", exists=True, help="PEM certificate, the server's own first."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", exists=True, help="Its private key, PEM, not encrypted."),
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write a certificate as a Secret; without --cert and --key a self-signed one, for trying out.

    Names, dates and key are checked before anything is written. Of a self-signed certificate HOST.pem is left
    in this directory: what --cacert takes.
    """
    from mlk8s.errors import UsageError

    if (cert is None) != (key is None):
        raise UsageError("one of --cert and --key is given", expected="both, or none for a self-signed pair")
    k8s = open_namespace(context, namespace, kubeconfig)
    if cert is not None and key is not None:
        k8s.create_tls_secret(name, cert, key, host=host)
        say(f"Secret {k8s.namespace}/{name}: the certificate of {host}")
        return
    from mlk8s.operations.tls import self_signed

    made = self_signed(host)
    k8s.create_tls_secret(name, made.certificate, made.key, host=host)
    file = Path(f"{host.replace('*', 'any')}.pem")
    file.write_bytes(made.certificate)
    say(f"Secret {k8s.namespace}/{name}: a self-signed certificate of {host}, for 30 days")
    print(file)


def register(app: typer.Typer) -> None:
    """Add `mlk8s tls`."""
    group = typer.Typer(no_args_is_help=True, help="Certificates of the way in.")
    group.command("create")(create)
    app.add_typer(group, name="tls", rich_help_panel="Model services")
