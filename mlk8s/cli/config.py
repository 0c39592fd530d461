"""`mlk8s config create`: a ConfigMap of values that anybody may read."""

from __future__ import annotations

from typing import Annotated

import typer

from mlk8s.cli.keys import FromEnvFile, FromFile, add, collect
from mlk8s.cli.options import Context, Kubeconfig, Namespace
from mlk8s.cli.output import say
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the ConfigMap.")],
    from_literal: Annotated[
        list[str] | None,
        typer.Option("--from-literal", metavar="KEY=VALUE", help="A value; may be repeated."),
    ] = None,
    from_file: FromFile = None,
    from_env_file: FromEnvFile = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a ConfigMap, or replace one that mlk8s made; what looks like a secret is refused."""
    data = collect(from_file, from_env_file)
    for item in from_literal or []:
        key, equals, value = item.partition("=")
        if not equals:
            # It is not part of the message: it may be a secret, in the wrong place.
            raise UsageError("--from-literal is not KEY=VALUE", expected="a key, '=' and its value")
        add(data, [(key, value)])
    if not data:
        raise UsageError(
            "no value is given",
            expected="--from-literal KEY=VALUE, --from-file [KEY=]FILE or --from-env-file FILE",
        )
    k8s = open_namespace(context, namespace, kubeconfig)
    k8s.create_config_map(name, data, say=say)


def register(app: typer.Typer) -> None:
    """Add the commands of ConfigMaps."""
    config = typer.Typer(no_args_is_help=True, help="ConfigMaps that pods refer to.")
    config.command("create")(create)
    app.add_typer(config, name="config", rich_help_panel="Model services")
