"""`mlk8s image build`: a runtime image from a base, pinned wheels and a model, without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.output import say
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.local.runtime_image import RuntimeImage
    from mlk8s.storage.credentials import StorageConfig


def build(
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="server|pipeline|loadgen|controller|python|IMAGE",
            help="What it stands on: the model server, a pipeline, a load test's workers, a rollout's "
            "controller, Python alone, or an image in a registry.",
        ),
    ] = "server",
    requirements: Annotated[
        Path | None,
        typer.Option(
            "--requirements",
            "-r",
            metavar="FILE",
            help="Wheels to add, pinned with hashes (uv pip compile --generate-hashes).",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="DIR|URL", help="A model version to put in: a folder, or s3://BUCKET/PATH."
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="REGISTRY/REPO[:TAG]", help="Send it there, with its SBOM attached."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write what `docker load` reads.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--tag", "-t", metavar="NAME:TAG", help="Its name in --output; localhost/image:DIGEST."),
    ] = None,
    load: Annotated[
        str | None, typer.Option("--load", metavar="CLUSTER", help="Put it into a local cluster's node.")
    ] = None,
    sbom: Annotated[
        Path | None, typer.Option("--sbom", metavar="FILE", help="Write the SBOM (CycloneDX 1.6, JSON).")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Label; may be repeated.")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Speak HTTP to the registry; localhost always does.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", metavar="FILE", exists=True, help="Authorities of a private registry, PEM."
        ),
    ] = None,
) -> None:
    """Build an image without Docker; the same input gives the same digest, printed as JSON.

    Logins come from where docker login and podman login leave them. A model at s3:// is read with the
    environment's credentials (AWS_ACCESS_KEY_ID, ...), else from the storage of the cluster that mlk8s finds.
    """
    import json
    import tempfile
    from contextlib import nullcontext

    from mlk8s.clients.oci.reference import Reference
    from mlk8s.local import runtime_image

    for file in (output, sbom):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise UsageError(
                "the file cannot be written", where=str(file), expected="a file in a folder that is there"
            )
    if model and "://" not in model and not Path(model).exists():
        raise UsageError("no such model", where=model, expected="a file, a folder, or a URL")
    target = Reference.parse(push) if push else None
    labels = dict(_pair(item) for item in label or [])
    folder = tempfile.TemporaryDirectory() if model and "://" in model else nullcontext(model)
    with folder as place:
        if model and "://" in model:
            from mlk8s.storage.artifacts import download

            download(model, str(place), config=_storage(load) if model.startswith("s3://") else None)
        image = runtime_image.build(
            base=base,
            requirements=requirements,
            model=Path(place) if place else None,
            labels=labels,
            plain_http=plain_http,
        )
    told: dict[str, object] = {"digest": image.digest, "model": image.model}
    if sbom is not None:
        sbom.write_bytes(image.sbom)
        say(f"SBOM written to {sbom}")
    if output is not None:
        reference = _local_name(image, name)
        image.save(output, reference)
        told["file"], told["name"] = str(output), reference
    if load is not None:
        told["name"] = _load(image, load, name)
    if target is not None:
        from mlk8s.local.publish import push as send

        pushed = send(image, target, plain_http=plain_http, ca_file=ca_file, say=say)
        told |= {"image": str(pushed.reference), "sent_bytes": pushed.sent, "present_bytes": pushed.present}
        told["sbom"] = pushed.sbom_digest
    told["layers"] = [
        {"title": blob.title, "digest": blob.digest, "bytes": blob.size} for blob in image.layers
    ]
    print(json.dumps(told, indent=1))


def _storage(cluster: str | None) -> StorageConfig:
    """Return the storage that the environment names, else that of the cluster."""
    import os

    from mlk8s.operations.connection import connect
    from mlk8s.storage.credentials import StorageConfig

    if {"STORAGE_CREDENTIALS_DIR", "AWS_ACCESS_KEY_ID"} & set(os.environ):
        return StorageConfig.from_env()
    k8s = connect(cluster=cluster)
    say(f"the model comes from the storage of context {k8s.cluster.context}")
    return k8s.storage()


def _load(image: RuntimeImage, cluster: str, name: str | None) -> str:
    import tempfile

    from mlk8s.local import registry
    from mlk8s.local.handle import Local

    reference = _local_name(image, name)
    found = registry.find(cluster)
    if found is None:
        raise UsageError(
            f"there is no local cluster {cluster!r}",
            next_step="`mlk8s status` lists them; `mlk8s up` makes one",
        )
    local = Local(found)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "image.tar")
        image.save(archive, reference)
        local.load_image(archive)
    say(f"{reference} is in the node of {cluster}")
    return reference


def _local_name(image: RuntimeImage, name: str | None) -> str:
    return name or f"localhost/image:{image.digest.removeprefix('sha256:')[:12]}"


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--label {text!r} is not KEY=VALUE")
    return key, value


def register(app: typer.Typer) -> None:
    """Add `mlk8s image build`."""
    image = typer.Typer(help="Runtime images without Docker.", no_args_is_help=True)
    image.command("build")(build)
    image.callback()(_group)  # a group with one command would become that command itself
    app.add_typer(image, name="image", rich_help_panel="Model services")


def _group() -> None:
    """Runtime images without Docker."""
