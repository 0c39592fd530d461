"""`mlk8s deploy`: from options or a file to running objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.options import Context, DryRun, Kubeconfig, Namespace, Timeout, Wait, collect, seconds
from mlk8s.cli.output import say
from mlk8s.cli.target import open_cluster
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.spec.base import Spec

_SPEC = "Model service"
_SCALE = "Replicas"
_ROLLOUT = "Rollout"
_POD = "Pods"
_ROUTE = "Route"
Text = str | None
Number = int | None


def deploy(
    name: Annotated[
        Text, typer.Argument(metavar="NAME", help="Name of the model service, without -f.")
    ] = None,
    file: Annotated[
        Text,
        typer.Option(
            "--filename", "-f", metavar="FILE", help="YAML documents instead of options; - is standard input."
        ),
    ] = None,
    model: Annotated[
        Text,
        typer.Option(
            "--model",
            metavar="URL",
            rich_help_panel=_SPEC,
            help="A model version: s3://BUCKET/PATH, pvc://CLAIM/PATH, https://HOST/PATH, or file:///PATH of "
            "the image.",
        ),
    ] = None,
    digest: Annotated[
        Text,
        typer.Option(
            "--digest", metavar="sha256:HEX", rich_help_panel=_SPEC, help="Digest its manifest must have."
        ),
    ] = None,
    image: Annotated[
        Text,
        typer.Option(
            "--image", metavar="IMAGE", rich_help_panel=_SPEC, help="Model server; the platform's by default."
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="KEY=VALUE",
            rich_help_panel=_SPEC,
            help="Plain environment variable; may be repeated.",
        ),
    ] = None,
    config_file: Annotated[
        list[str] | None,
        typer.Option(
            "--config-file",
            metavar="PATH=FILE",
            rich_help_panel=_SPEC,
            help="A file's text at a path in the server's container; may be repeated.",
        ),
    ] = None,
    secret_env: Annotated[
        list[str] | None,
        typer.Option(
            "--secret-env",
            metavar="KEY=SECRET/KEY",
            rich_help_panel=_SPEC,
            help="Environment variable from a Secret; may be repeated.",
        ),
    ] = None,
    secret_files: Annotated[
        list[str] | None,
        typer.Option(
            "--secret-files",
            metavar="PATH=SECRET",
            rich_help_panel=_SPEC,
            help="A Secret's keys as files of a directory; may be repeated.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="KEY=VALUE",
            rich_help_panel=_SPEC,
            help="Label of every object; may be repeated.",
        ),
    ] = None,
    replicas: Annotated[
        Number,
        typer.Option(
            "--replicas",
            metavar="N",
            rich_help_panel=_SCALE,
            help="Pods, where nothing scales them; 2 by default.",
        ),
    ] = None,
    least: Annotated[
        Number,
        typer.Option(
            "--min", metavar="N", rich_help_panel=_SCALE, help="Fewest pods of the autoscaler; 2 by default."
        ),
    ] = None,
    most: Annotated[
        Number,
        typer.Option("--max", metavar="N", rich_help_panel=_SCALE, help="Most pods of the autoscaler."),
    ] = None,
    metric: Annotated[
        Text,
        typer.Option(
            "--metric",
            metavar="NAME",
            rich_help_panel=_SCALE,
            help="requests_in_flight (by default), requests_per_second, cpu or memory.",
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option("--target", metavar="VALUE", rich_help_panel=_SCALE, help="Mean of the metric a pod."),
    ] = None,
    strategy: Annotated[
        Text,
        typer.Option(
            "--strategy",
            metavar="NAME",
            rich_help_panel=_ROLLOUT,
            help="RollingUpdate (by default), Recreate or BlueGreen.",
        ),
    ] = None,
    max_surge: Annotated[
        Text,
        typer.Option(
            "--max-surge",
            metavar="N|PERCENT",
            rich_help_panel=_ROLLOUT,
            help="Pods on top during a rolling update; 1 by default.",
        ),
    ] = None,
    max_unavailable: Annotated[
        Text,
        typer.Option(
            "--max-unavailable",
            metavar="N|PERCENT",
            rich_help_panel=_ROLLOUT,
            help="Pods that may be missing during a rolling update; 0 by default.",
        ),
    ] = None,
    retain: Annotated[
        Text,
        typer.Option(
            "--retain",
            metavar="DURATION",
            rich_help_panel=_ROLLOUT,
            help="How long the old colour stays after a blue/green switch; 5m by default.",
        ),
    ] = None,
    gpu: Annotated[
        Number, typer.Option("--gpu", metavar="N", rich_help_panel=_POD, help="GPUs a pod.")
    ] = None,
    cpu: Annotated[
        Text,
        typer.Option("--cpu", metavar="QUANTITY", rich_help_panel=_POD, help="CPU request, such as 250m."),
    ] = None,
    cpu_limit: Annotated[
        Text, typer.Option("--cpu-limit", metavar="QUANTITY", rich_help_panel=_POD, help="CPU limit.")
    ] = None,
    memory: Annotated[
        Text,
        typer.Option(
            "--memory", metavar="QUANTITY", rich_help_panel=_POD, help="Memory request, such as 512Mi."
        ),
    ] = None,
    memory_limit: Annotated[
        Text,
        typer.Option(
            "--memory-limit",
            metavar="QUANTITY",
            rich_help_panel=_POD,
            help="Memory limit; the request by default.",
        ),
    ] = None,
    host: Annotated[
        Text,
        typer.Option(
            "--host", metavar="NAME", rich_help_panel=_ROUTE, help="DNS name; every name by default."
        ),
    ] = None,
    path: Annotated[
        Text,
        typer.Option(
            "--path", metavar="PREFIX", rich_help_panel=_ROUTE, help="URL prefix; /NAMESPACE/NAME by default."
        ),
    ] = None,
    ingress_class: Annotated[
        Text,
        typer.Option(
            "--ingress-class", metavar="NAME", rich_help_panel=_ROUTE, help="The cluster's own by default."
        ),
    ] = None,
    tls: Annotated[
        Text,
        typer.Option(
            "--tls", metavar="SECRET", rich_help_panel=_ROUTE, help="Secret with a certificate for --host."
        ),
    ] = None,
    gateway: Annotated[
        Text,
        typer.Option(
            "--gateway", metavar="NAMESPACE/NAME", rich_help_panel=_ROUTE, help="A Gateway, not an Ingress."
        ),
    ] = None,
    service_type: Annotated[
        Text,
        typer.Option(
            "--service-type",
            metavar="ClusterIP|NodePort|LoadBalancer|Headless",
            rich_help_panel=_ROUTE,
            help="How its Service is reached; ClusterIP by default.",
        ),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    dry_run: Annotated[
        DryRun,
        typer.Option(
            "--dry-run",
            metavar="MODE",
            help="none, client: print the manifests, change nothing; server: let the API server check them.",
        ),
    ] = DryRun.NONE,
    create_namespace: Annotated[
        bool,
        typer.Option(
            "--create-namespace",
            help="Make the namespace, with Pod Security `restricted`, where it is not there.",
        ),
    ] = False,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Deploy a model, or change one that is deployed, and wait until it serves.

    Running it again converges. -f takes documents of kind ModelService, FeatureJob, FeatureCronJob and every
    other kind of mlk8s (apiVersion: mlk8s.dev/v1), with the fields of the Python classes of the same names.
    """
    options = collect(
        model=model, digest=digest, image=image, env=env, label=label, replicas=replicas, min=least, max=most,
        metric=metric, target=target, gpu=gpu, cpu=cpu, cpu_limit=cpu_limit, memory=memory,
        memory_limit=memory_limit, host=host, path=path, ingress_class=ingress_class,
        tls=tls, gateway=gateway, service_type=service_type,
        strategy=strategy, max_surge=max_surge, max_unavailable=max_unavailable, retain=retain,
        config_file=config_file, secret_env=secret_env, secret_files=secret_files,
    )  # fmt: skip
    specs: list[Spec]
    if file is not None:
        from mlk8s.cli.documents import read_specs

        if name is not None or options:
            other = "NAME" if name is not None else "--" + next(iter(options)).replace("_", "-")
            raise UsageError(
                f"-f is given with {other}",
                expected="the spec from one place",
            )
        specs = read_specs(file)
    else:
        if name is None or model is None:
            raise UsageError(
                "no model is given", expected="NAME with --model, or -f FILE",
                next_step="mlk8s deploy iris --model s3://models/iris/1",
            )  # fmt: skip
        from mlk8s.cli.declare import from_options

        specs = [from_options(name, options)]
    _deploy(specs, wait, seconds(timeout, 180.0), dry_run, create_namespace, context, namespace, kubeconfig)


def _deploy(
    specs: list[Spec], wait: bool, timeout: float, dry_run: DryRun, create_namespace: bool,
    context: Context, namespace: Namespace, kubeconfig: Kubeconfig,
) -> None:  # fmt: skip
    from mlk8s.cli.declare import apply_one, namespace_of

    places = sorted({place for spec in specs if (place := namespace_of(spec)) is not None})
    if namespace is not None and set(places) - {namespace}:
        raise UsageError(
            f"--namespace {namespace} is given, and the file says {', '.join(places)}",
            expected="the same namespace",
        )
    one = places[0] if len(places) == 1 and all(namespace_of(spec) for spec in specs) else None
    k8s = open_cluster(context, namespace or one, kubeconfig)
    if dry_run is not DryRun.NONE:
        from mlk8s.operations import dry_run as rehearsal
        from mlk8s.render.bundle import to_yaml

        planned = rehearsal.manifests(k8s.cluster, k8s.platform, specs, say=say)
        if dry_run is DryRun.SERVER:
            rehearsal.check(k8s.cluster, planned, say=say)
        else:
            print(to_yaml(planned), end="")
        return
    for spec in specs:
        apply_one(k8s, spec, wait=wait, timeout=timeout, create_namespace=create_namespace)
