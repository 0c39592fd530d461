"""Volumes, and models and data from claims and web servers, on the real cluster."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from e2e_tools import connects, wait_for
from onnx_models import ROW, scaling
from pods import IMAGE, create_pod, pod

import mlk8s
from mlk8s.errors import DigestMismatch, NotFound, RolloutFailed, SpecError, UsageError
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import ModelRef, upload_model

SMALL = Resources(cpu="50m", cpu_limit=None, memory="256Mi")
WRONG = "sha256:" + "0" * 64
# Copies a published model into a claim as it lies in a download, and publishes what it did.
FILL = """\
import shutil
from pathlib import Path

def build(model: Path, to: str) -> dict[str, list[str]]:
    shutil.copytree(model, to, dirs_exist_ok=True)
    return {"files": sorted(path.name for path in Path(to).iterdir())}
"""
DOUBLE = """\
import pyarrow as pa

def build(small: pa.Table) -> dict[str, list[str]]:
    return {"files": [name.upper() for name in small["files"].to_pylist()]}
"""
# Serves a ConfigMap's files over TLS: every path is looked for by its last part. /moved goes to plain http.
SERVER = r"""
import http.server, pathlib, ssl
class Files(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        if "/moved/" in self.path:
            self.send_response(302); self.send_header("Location", "http://localhost/x"); self.end_headers()
            return
        file = pathlib.Path("/files", self.path.rsplit("/", 1)[-1])
        if "/gone/" in self.path or not file.is_file():
            self.send_error(404); return
        data = file.read_bytes()
        self.send_response(200); self.send_header("Content-Length", str(len(data))); self.end_headers()
        self.wfile.write(data)
import threading
for port, name in ((8443, "good"), (8444, "old")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"/files/{name}.pem")
    server = http.server.ThreadingHTTPServer(("", port), Files)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def model(k8s: Kubernetes) -> ModelRef:
    return upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())


@dataclass(frozen=True)
class Web:
    """A web server in the cluster: `good` has a valid certificate, that of `old` has expired."""

    good: str
    old: str


def certificates(host: str) -> tuple[str, dict[str, str]]:
    """Return the PEM of a test authority, and those of a good and an expired certificate with their keys."""
    now = datetime.datetime.now(datetime.UTC)
    authority, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name.from_rfc4514_string("CN=test authority"),
    )

    def signed(subject: x509.Name, key: Any, days: int, extension: x509.ExtensionType) -> str:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(extension, critical=False)
            .sign(authority, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()

    leaves = {}
    for title, days in (("good", 30), ("old", -1)):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "files")])
        leaf = signed(subject, key, days, x509.SubjectAlternativeName([x509.DNSName(host)]))
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        leaves[title] = leaf + secret.decode()
    return signed(name, authority, 30, x509.BasicConstraints(ca=True, path_length=None)), leaves


@pytest.fixture(scope="module")
def web(local_cluster: Local, k8s: Kubernetes, model: ModelRef, python_pods: str) -> Web:
    from mlk8s.storage.artifacts import read_file

    host = f"files.{k8s.namespace}.svc"
    ca, leaves = certificates(host)
    (file,) = model.manifest.files
    import base64

    data = read_file(model.url, model.manifest, file, k8s.storage())
    files = {
        "manifest.json": base64.b64encode(model.manifest.raw).decode(),
        file.path: base64.b64encode(data).decode(),
    }
    k8s.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "files", "namespace": k8s.namespace},
            "data": files,
            "stringData": {f"{title}.pem": pem for title, pem in leaves.items()},
        }
    )
    k8s.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "authority", "namespace": k8s.namespace},
            "data": {"ca.crt": ca},
        }
    )
    ports = [{"name": f"p{port}", "port": port} for port in (8443, 8444)]
    k8s.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "files", "namespace": k8s.namespace},
            "spec": {"selector": {"app": "files"}, "ports": ports},
        }
    )
    volume = {"name": "files", "secret": {"secretName": "files"}}
    mounts = [{"name": "files", "mountPath": "/files"}]
    manifest = pod("files", script=SERVER, labels={"app": "files"}, volumes=[volume], mounts=mounts)
    address = create_pod(local_cluster, k8s.namespace, manifest)
    wait_for(lambda: all(connects(address, port["port"], timeout=5) for port in ports))
    return Web(f"https://{host}:8443", f"https://{host}:8444")


def answer(service: Service) -> float:
    result = service.predict([ROW])["y"] / np.array([ROW], dtype=np.float32)
    return float(result[0, 0])


def https_service(web: Web, url: str, digest: str | None, **fields: Any) -> mlk8s.ModelService:
    return mlk8s.ModelService(
        name="remote", model=url, digest=digest, replicas=1, resources=SMALL, startup_timeout=20,
        request_timeout=2, model_ca=mlk8s.CaFile(config_map="authority"), **fields,
    )  # fmt: skip


def test_a_claim_is_filled_by_a_job_and_served_read_only_by_several_pods(
    k8s: Kubernetes, model: ModelRef
) -> None:
    """ReadOnlyMany: one job writes, two pods read; the digest is checked in each."""
    applied = k8s.apply(mlk8s.Volume(name="weights", size="64Mi", access="ReadOnlyMany"), wait=False)
    assert applied.objects == ("PersistentVolumeClaim/weights",)
    fill = mlk8s.FeatureJob(
        name="fill",
        source=FILL,
        inputs={"model": mlk8s.Input(url=model.url, digest=model.digest)},
        parameters={"to": "/volumes/weights/scale/1"},
        output="pvc://weights/log",
        version="one",
        volumes=(mlk8s.Volume(name="weights", claim="weights", read_only=False),),
        resources=SMALL,
        active_deadline=60,
    )
    result = k8s.run_job(fill)
    assert (result.url, result.rows) == ("pvc://weights/log/one", 2)

    claim = k8s.cluster.get("PersistentVolumeClaim", "weights")
    assert (claim["status"]["phase"], claim["spec"]["accessModes"]) == ("Bound", ["ReadOnlyMany"])
    spec = mlk8s.ModelService(
        name="local", model="pvc://weights/scale/1", digest=model.digest, replicas=2, resources=SMALL,
        startup_timeout=20, request_timeout=2,
    )  # fmt: skip
    service = k8s.deploy(spec)
    assert answer(service) == 2.0
    assert service.status().ready == 2
    policy = k8s.cluster.get("NetworkPolicy", "local")
    assert len(policy["spec"]["egress"]) == 2, "DNS only: a model in a claim needs no way out"
    (running, *_) = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=local")
    names = {volume["name"] for volume in running["spec"]["volumes"]}
    assert "storage" not in names, "credentials are only where they are needed"

    with pytest.raises(
        RolloutFailed, match="fetch-model failed with exit code 1: The model or data set is anot"
    ):
        k8s.deploy(spec.replace(digest=WRONG))
    assert answer(service) == 2.0
    with pytest.raises(RolloutFailed, match=r"There is no version '2'.*expected: one of 1"):
        k8s.deploy(spec.replace(model="pvc://weights/scale/2"))
    service.delete()
    assert k8s.cluster.find("PersistentVolumeClaim", "weights") is not None


def test_a_claim_that_is_not_there_is_told_before_anything_is_written(k8s: Kubernetes) -> None:
    spec = mlk8s.ModelService(name="nowhere", model="pvc://missing/scale/1", digest=WRONG, replicas=1)
    with pytest.raises(NotFound, match="PersistentVolumeClaim 'missing' is not there"):
        k8s.deploy(spec)
    assert k8s.cluster.find("Deployment", "nowhere") is None


def test_a_jobs_inputs_are_checked_and_named_in_its_output(k8s: Kubernetes, model: ModelRef) -> None:
    digest = published_log(k8s)
    job = mlk8s.FeatureJob(
        name="upper", source=DOUBLE,
        inputs={"small": mlk8s.Input(url="pvc://weights/log/one", digest=digest)},
        output=f"s3://features/{k8s.namespace}", version="one", resources=SMALL, active_deadline=60,
    )  # fmt: skip
    result = k8s.run_job(job)
    from mlk8s.storage.datasets import read_dataset

    data = read_dataset(job.output, "one", config=k8s.storage())
    assert data.table.to_pydict() == {"files": ["MANIFEST.JSON", "MODEL.ONNX"]}
    assert data.manifest.metadata["inputs"] == {"small": {"url": "pvc://weights/log/one", "digest": digest}}
    assert result.attempts == 1
    with pytest.raises(RolloutFailed, match="exit code 64: The model or data set is another one"):
        k8s.run_job(
            job.replace(
                version="two", inputs={"small": mlk8s.Input(url="pvc://weights/log/one", digest=WRONG)}
            )
        )


def published_log(k8s: Kubernetes) -> str:
    """Digest of what the filling job published, from its own report."""
    (job,) = k8s.cluster.list("Job", labels="app.kubernetes.io/name=fill")
    (ended,) = k8s.cluster.list("Pod", labels=f"batch.kubernetes.io/job-name={job['metadata']['name']}")
    said = ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    return str(json.loads(said)["digest"])


def test_a_model_comes_over_https_with_its_certificate_checked(
    k8s: Kubernetes, model: ModelRef, web: Web
) -> None:
    service = k8s.deploy(https_service(web, f"{web.good}/scale/1", model.digest))
    assert answer(service) == 2.0
    policy = k8s.cluster.get("NetworkPolicy", "remote")
    there = policy["spec"]["egress"][-1]["to"][0]["namespaceSelector"]["matchLabels"]
    assert there == {"kubernetes.io/metadata.name": k8s.namespace}

    faults = {
        f"{web.good}/other/1": (WRONG, "The model or data set is another one"),
        f"{web.old}/scale/1": (model.digest, "certificate of files.* is refused: certificate has expired"),
        f"{web.good}/gone/1": (model.digest, "There is no version '1'"),
        f"{web.good}/moved/1": (model.digest, "The server redirects to http://, where nothing is certain"),
    }
    for url, (digest, words) in faults.items():
        with pytest.raises(RolloutFailed, match=f"fetch-model failed with exit code 1: .*{words}"):
            k8s.deploy(https_service(web, url, digest))
    assert answer(service) == 2.0, "the version before goes on serving"
    unknown = https_service(web, f"{web.good}/scale/1", model.digest).replace(model_ca=None)
    with pytest.raises(RolloutFailed, match=r"is refused: .*(self-signed|unable to get local issuer)"):
        k8s.deploy(unknown)
    service.delete()


def test_a_digest_is_needed_where_nobody_else_vouches(k8s: Kubernetes, web: Web) -> None:
    with pytest.raises(SpecError, match="expected its digest too"):
        mlk8s.ModelService(name="remote", model="pvc://weights/scale/1")
    with pytest.raises(SpecError, match=r"known in the cluster only.*expected its digest too"):
        k8s.deploy(https_service(web, f"{web.good}/scale/1", None))


def test_data_stays_unless_its_spec_lets_it_go(k8s: Kubernetes, model: ModelRef) -> None:
    spec = mlk8s.ModelService(
        name="cached", model=model.url, replicas=1, resources=SMALL, startup_timeout=20, request_timeout=2,
        volumes=(
            mlk8s.Volume(name="kept", size="16Mi"),
            mlk8s.Volume(name="scratch", size="16Mi", retain=False, mount="/data"),
        ),
    )  # fmt: skip
    service = k8s.deploy(spec)
    (found,) = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=cached")
    mounts = {item["name"]: item["mountPath"] for item in found["spec"]["containers"][0]["volumeMounts"]}
    assert (mounts["kept"], mounts["scratch"]) == ("/volumes/kept", "/data")
    service.delete()
    wait_for(lambda: k8s.cluster.find("PersistentVolumeClaim", "cached-scratch") is None)  # which may go
    kept = k8s.cluster.get("PersistentVolumeClaim", "cached-kept")
    assert kept["status"]["phase"] == "Bound"
    service.delete(data=True)
    wait_for(
        lambda: k8s.cluster.find("PersistentVolumeClaim", "cached-kept") is None
    )  # which was asked to go
    with pytest.raises(UsageError, match="which is there already"):
        k8s.apply(mlk8s.Volume(name="again", claim="weights"))


def test_more_than_the_disk_has_is_not_granted(k8s: Kubernetes, python_pods: str) -> None:
    k8s.apply(mlk8s.Volume(name="huge", size="1Pi", storage_class="mlk8s-local-retain"), wait=False)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "huge"}}
    manifest = pod("wants-huge", script="pass", volumes=[volume])
    manifest["metadata"]["namespace"] = k8s.namespace
    assert manifest["spec"]["containers"][0]["image"] == IMAGE
    k8s.cluster.create(manifest)

    def told() -> bool:
        failed = [item for item in k8s.cluster.list("Event") if item["reason"] == "ProvisioningFailed"]
        return any("1Pi was asked for" in item["message"] for item in failed)

    wait_for(told)


def test_a_published_digest_is_not_overruled(k8s: Kubernetes, model: ModelRef) -> None:
    with pytest.raises(DigestMismatch):
        k8s.deploy(mlk8s.ModelService(name="wrong", model=model.url, digest=WRONG, replicas=1))
