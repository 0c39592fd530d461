"""Images of one's own: built without Docker, pushed to a real registry, pulled by the cluster, serving.

The registry is Debian's docker-registry on the node itself, so that nothing leaves the machine: the node's
127.0.0.1:5055 for containerd, the node's address for this machine.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.clients.oci.login import find_login
from mlk8s.clients.oci.reference import Reference
from mlk8s.clients.oci.registry import Repository
from mlk8s.errors import Forbidden, Mlk8sError, NotFound, RolloutFailed, UsageError
from mlk8s.local import runtime_image
from mlk8s.local.namespaces import Namespaces
from mlk8s.local.publish import Pushed, push
from mlk8s.operations.connection import Kubernetes
from mlk8s.render.common import PULL_SECRETS
from mlk8s.spec.resources import Resources
from mlk8s.storage.artifacts import download
from mlk8s.storage.models import upload_model
from tests.cli.shell import mlk8s as mlk8s_command

PORT = 5055
USER, PASSWORD = "team", "of-the-test"
# bcrypt of the password: what `htpasswd -B` writes
HTPASSWD = f"{USER}:$2b$04$KqK5e.RA/nKWoXkxDmoiyO.DTJEyHAQJEEhHxAzWXjSVXk7gsj6mW\n"
# A wheel of one file, pinned as `uv pip compile --generate-hashes` does it.
SIX = "six==1.17.0 \\\n    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"


@pytest.fixture(scope="module")
def registry(local_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a registry as this machine sees it; it wants a login."""
    if shutil.which("docker-registry") is None:
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "docker-registry"], check=True
        )
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(HTPASSWD)
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f":{PORT}"},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
        "log": {"level": "error", "accesslog": {"disabled": True}},
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    inside = Namespaces(local_cluster.cluster.directory).inside()
    # The node's mounts hide this machine's /tmp from its programs: only the network is the node's.
    network = [inside[0], *inside[1:3], "--net", "--"]
    address = f"{local_cluster.cluster.node_address}:{PORT}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*network, "docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
        try:
            wait_for(lambda: _answers(address) or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield address
        finally:
            process.terminate()
            process.wait(60)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=2)
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False


@pytest.fixture
def login(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The registry, with a login where `docker login` leaves it."""
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": pair}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return registry


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two versions of a model, as they were published."""
    folders = {}
    for version, factor in (("1", 2.0), ("2", 3.0)):
        url = f"s3://models/{k8s.namespace}/{version}"
        upload_model(scaling(factor), url, config=k8s.storage())
        folders[version] = tmp_path_factory.mktemp(f"model-{version}")
        download(url, folders[version], config=k8s.storage())
    return folders


@pytest.fixture(scope="module")
def requirements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("requirements") / "requirements.txt"
    path.write_text(SIX)
    return path


@pytest.fixture(scope="module")
def pull_secret(k8s: Kubernetes) -> str:
    """Name of the Secret with the registry's login, as the node calls it."""
    auths = {f"localhost:{PORT}": {"username": USER, "password": PASSWORD}}
    text = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    k8s.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "registry", "namespace": k8s.namespace},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": text},
        }
    )
    return "registry"


def _push(image: runtime_image.RuntimeImage, address: str, tag: str) -> Pushed:
    return push(image, Reference.parse(f"{address}/team/scale:{tag}"), plain_http=True)


def test_a_changed_model_sends_only_itself_and_the_cluster_pulls_and_serves_it(
    login: str, k8s: Kubernetes, models: dict[str, Path], requirements: Path, pull_secret: str
) -> None:
    first = runtime_image.build(requirements=requirements, model=models["1"])
    again = runtime_image.build(requirements=requirements, model=models["1"])
    assert again.digest == first.digest
    sent = _push(first, login, "1")
    assert sent.sent > 10_000_000 and sent.present == 0
    assert _push(first, login, "1").sent == 0
    second = runtime_image.build(requirements=requirements, model=models["2"])
    resent = _push(second, login, "2")
    assert [blob.digest for blob in second.layers[:-1]] == [blob.digest for blob in first.layers[:-1]]
    assert resent.present > 10_000_000
    assert resent.sent < 20_000  # the model and the configuration
    image = f"localhost:{PORT}/team/scale@{resent.reference.digest}"
    service = k8s.deploy(
        mlk8s.ModelService(
            name="own", model=second.model, image=image, replicas=1, image_pull_secrets=(pull_secret,),
            resources=Resources(cpu="100m", memory="256Mi"),
        )
    )  # fmt: skip
    assert service.predict([ROW]).outputs["y"].tolist() == [[3 * value for value in ROW]]
    (pod,) = k8s.cluster.list("Pod", k8s.namespace, labels="app.kubernetes.io/name=own")
    assert pod["status"]["containerStatuses"][0]["imageID"].endswith(str(resent.reference.digest))
    assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_jobs_and_workloads_pull_with_their_secrets_or_the_tenants(
    login: str, k8s: Kubernetes, requirements: Path, pull_secret: str
) -> None:
    """The image has the wheel `six`, which no other image in the cluster has."""
    pushed = _push(runtime_image.build(base="pipeline", requirements=requirements), login, "job")
    image = f"localhost:{PORT}/team/scale@{pushed.reference.digest}"
    job = mlk8s.FeatureJob(
        name="pulled", source="import six\ndef build():\n    return {'x': [six.__version__]}\n", image=image,
        output=f"s3://features/{k8s.namespace}", resources=Resources(cpu="100m", memory="256Mi"),
    )  # fmt: skip
    with pytest.raises(RolloutFailed, match="cannot be pulled"):
        k8s.run_job(job)
    done = k8s.run_job(job.replace(image_pull_secrets=(pull_secret,)))
    assert done is not None and done.rows == 1

    where = {"metadata": {"annotations": {PULL_SECRETS: pull_secret}}}  # what `Tenant` writes
    k8s.cluster.patch("Namespace", k8s.namespace, where)
    stay = ("python3", "-c", "import signal, six; signal.sigwait({signal.SIGTERM})")
    tiny = Resources(cpu="10m", memory="48Mi", ephemeral_storage="16Mi")
    k8s.apply(
        mlk8s.StatefulSet(
            name="kept", containers=mlk8s.Container("main", image, command=stay, resources=tiny)
        )
    )
    (pod,) = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=kept")
    assert pod["spec"]["imagePullSecrets"] == [{"name": pull_secret}]
    assert pod["status"]["containerStatuses"][0]["imageID"].endswith(str(pushed.reference.digest))


def test_the_sbom_is_attached_and_names_what_is_inside(
    login: str, k8s: Kubernetes, models: dict[str, Path], requirements: Path, tmp_path: Path
) -> None:
    image = runtime_image.build(requirements=requirements, model=models["1"])
    pushed = _push(image, login, "sbom")
    repository = Repository(pushed.reference, find_login(login), plain_http=True)
    index, _ = repository.manifest(image.digest.replace(":", "-"))  # the fallback of OCI 1.1's referrers
    assert [item["artifactType"] for item in index["manifests"]] == ["application/vnd.cyclonedx+json"]
    manifest, _ = repository.manifest(index["manifests"][0]["digest"])
    assert manifest["subject"]["digest"] == image.digest
    (layer,) = manifest["layers"]
    repository.fetch_blob(layer["digest"], tmp_path / "sbom", size=layer["size"])
    document = json.loads((tmp_path / "sbom").read_text())
    found = {item["name"]: item for item in document["components"]}
    assert document["specVersion"] == "1.6"
    assert found["six"]["purl"] == "pkg:pypi/six@1.17.0"
    assert found["libc6"]["purl"].startswith("pkg:deb/debian/libc6@2.36")
    assert {"onnxruntime", "mlk8s"} <= found.keys()
    assert found[k8s.namespace]["type"] == "machine-learning-model"


def test_an_image_in_a_registry_is_a_base_too(
    login: str, models: dict[str, Path], requirements: Path
) -> None:
    base = _push(runtime_image.build(base="python"), login, "base")
    image = runtime_image.build(
        base=str(base.reference), requirements=requirements, model=models["1"], plain_http=True
    )
    pushed = _push(image, login, "on-base")
    assert pushed.present > pushed.sent
    config = json.loads(image.config)
    assert config["config"]["User"] == "10001:10001"
    assert len(config["rootfs"]["diff_ids"]) == len(image.layers) == 3
    assert config["config"]["Env"].count("PYTHONPATH=/opt/packages:/app") == 1
    with pytest.raises(UsageError, match="cannot be written to a file"):
        image.save(Path("never"), "localhost/x:1")


def test_the_command_reads_the_model_from_the_clusters_storage(
    k8s: Kubernetes, models: dict[str, Path]
) -> None:
    url, env = f"s3://models/{k8s.namespace}/1", {"KUBECONFIG": str(k8s.cluster.source)}
    done = mlk8s_command("image", "build", "--base", "python", "--model", url, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == runtime_image.build(base="python", model=models["1"]).digest


def test_refusals_are_one_sentence(
    registry: str, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    image = runtime_image.build(base="python")
    with pytest.raises(Forbidden, match="refused an anonymous call"):
        _push(image, registry, "1")
    wrong = base64.b64encode(b"team:wrong").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"https://{registry}/v1/": {"auth": wrong}}}))
    with pytest.raises(Forbidden, match="the login 'team'") as refused:
        _push(image, registry, "1")
    assert "wrong" not in str(refused.value)
    loose = tmp_path / "loose.txt"
    loose.write_text("six==1.17.0\n")
    with pytest.raises(UsageError, match="have no hashes"):
        runtime_image.build(base="python", requirements=loose)
    damaged = tmp_path / "damaged"
    shutil.copytree(models["1"], damaged)
    (file,) = damaged.rglob("*.onnx")
    file.write_bytes(b"another")
    with pytest.raises(Mlk8sError, match="is not the file that was published"):
        runtime_image.build(base="python", model=damaged)
    with pytest.raises(UsageError, match="no base 'debian'"):
        runtime_image.build(base="debian")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        _push(image, registry, "1")


def test_a_tag_that_is_not_there_is_told(login: str) -> None:
    place = Reference.parse(f"{login}/team/nothing:1")
    with pytest.raises(NotFound, match="no such image"):
        Repository(place, find_login(login), plain_http=True).manifest("1")
