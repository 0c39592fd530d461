"""`mlk8s services`, `predict`, `undo`, `delete`: model services that are deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from mlk8s.cli.deploy import deploy
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import CaCert, Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import columns, say, show
from mlk8s.cli.target import open_namespace

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")]


def undo(
    name: Name,
    to_revision: Annotated[
        int,
        typer.Option(
            "--to-revision",
            metavar="N",
            min=0,
            help="Revision of `mlk8s rollout history`; 0 is the one before.",
        ),
    ] = 0,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go back to a revision, by default the version before this one, and wait until it serves."""
    wait = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the change back goes on in the cluster; mlk8s services shows {name}"):
        k8s.service(name).undo(to_revision=to_revision, timeout=wait, say=say)


def delete(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|KIND/NAME", help="A model service, or another declared object: StatefulSet/vectors."
        ),
    ],
    data: Annotated[
        bool, typer.Option("--data", help="Also delete the claims that a model service retains.")
    ] = False,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete every object of a model service, a canary included, or of another declared object.

    Models stay in the storage, and volumes whose spec says `retain`.
    """
    k8s = open_namespace(context, namespace, kubeconfig)
    kind, slash, bare = name.partition("/")
    with leaves(f"some objects may be left; run the same command again to delete the rest of {name}"):
        if slash:
            k8s.remove(kind, bare, say=say)
        else:
            k8s.service(name).delete(data=data, say=say)


def services(
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the model services of a namespace."""
    from dataclasses import asdict

    k8s = open_namespace(context, namespace, kubeconfig)
    found = [service.status() for service in k8s.services()]
    if not found and output is Form.TABLE:
        say("no model services; `mlk8s deploy NAME --model s3://BUCKET/PATH` makes one")
        return
    rows = [(item.name, item.model, f"{item.ready}/{item.replicas}", item.url) for item in found]
    show([asdict(item) for item in found], output, columns(("NAME", "MODEL", "READY", "URL"), rows))


def predict(
    name: Name,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar="JSON|@FILE|-",
            help="Rows, an object of input name to array, or a V2 request.",
        ),
    ],
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            "-H",
            metavar="'NAME: VALUE'",
            help="Request header, such as 'X-Canary: always'; may be repeated.",
        ),
    ] = None,
    cacert: CaCert = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Ask a model once, through the Ingress; prints JSON."""
    import json

    from mlk8s.cli.data import headers, read_inputs

    inputs, extra = read_inputs(data), headers(header or [])
    k8s = open_namespace(context, namespace, kubeconfig)
    service = k8s.service(name)
    answer = (service.trust(cacert) if cacert else service).predict(inputs, headers=extra)
    outputs = {key: array.tolist() for key, array in answer.outputs.items()}
    print(
        json.dumps(
            {"model_version": answer.model_version, "latency_seconds": answer.latency, "outputs": outputs}
        )
    )


def register(app: typer.Typer) -> None:
    """Add the commands of model services."""
    for function in (deploy, services, predict, undo, delete):
        app.command(function.__name__, rich_help_panel="Model services")(function)
