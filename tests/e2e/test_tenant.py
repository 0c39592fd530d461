"""A tenant on the real cluster: its user can do what mlk8s does there, and nothing else; its walls hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import fresh_cluster_namespace, wait_for
from onnx_models import ROW, scaling
from pods import ask, create_pod, pod

import mlk8s
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Conflict, Forbidden, NotFound, Rejected, RolloutFailed, UsageError
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.doctor import doctor
from mlk8s.operations.tenant import access
from mlk8s.storage.models import upload_model

SMALL = mlk8s.Resources(cpu="50m", cpu_limit=None, memory="192Mi")
SOURCE = "def build(rows: int = 3) -> dict[str, list[int]]:\n    return {'x': list(range(rows))}\n"

PROBER = r"""
import json, os, socket, time
def reaches(to):
    host, port = to.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 2).close()
        return True
    except OSError:
        return False
targets = json.loads(os.environ["TARGETS"])
print(json.dumps({name: reaches(to) for name, to in targets.items()}), flush=True)
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def admin(local_cluster: Local, namespace: str) -> Kubernetes:
    """The administrator, whose own namespace is next door to the tenant's."""
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def tenant(admin: Kubernetes) -> Iterator[mlk8s.Tenant]:
    spec = mlk8s.Tenant(
        name=f"team-{admin.namespace}",
        quota={"requests.memory": "1Gi", "pods": "8", "services.nodeports": "0"},
        image_pull_secrets=("registry",),
        labels={"team": "x"},
    )
    admin.apply(spec)
    yield spec
    admin.remove(spec)


@pytest.fixture(scope="module")
def kubeconfig(admin: Kubernetes, tenant: mlk8s.Tenant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mlk8s tenant kubeconfig` writes."""
    out = tmp_path_factory.mktemp("tenant") / "kubeconfig"
    command = [sys.executable, "-m", "mlk8s", "tenant", "kubeconfig", tenant.name, "--expires", "15m"]
    command += ["--out", str(out), "--kubeconfig", str(admin.cluster.source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600 and "valid until" in done.stderr
    return out


@pytest.fixture(scope="module")
def user(kubeconfig: Path, tenant: mlk8s.Tenant) -> Kubernetes:
    found = mlk8s.connect(kubeconfig=kubeconfig)
    assert found.namespace == tenant.name
    return found


@pytest.fixture(scope="module")
def models(user: Kubernetes) -> list[str]:
    """Two versions that the user has published."""
    root, config = f"s3://models/{user.namespace}", user.storage()
    return [upload_model(scaling(float(n + 1)), f"{root}/{n}", config=config).url for n in (1, 2)]


def test_the_namespace_has_its_rules(admin: Kubernetes, tenant: mlk8s.Tenant) -> None:
    labels = admin.cluster.get("Namespace", tenant.name)["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
    assert labels["team"] == "x"
    with pytest.raises(Rejected, match="violates PodSecurity"):
        privileged = pod("privileged")
        privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
        privileged["metadata"]["namespace"] = tenant.name
        admin.cluster.create(privileged)
    account = admin.cluster.get("ServiceAccount", "notebook", tenant.name)
    assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert account["automountServiceAccountToken"] is False


def test_the_doctor_finds_nothing_wrong_with_a_users_rights(user: Kubernetes) -> None:
    found = {item.check: item for item in doctor(user.cluster, user.platform)}
    assert [item for item in found.values() if item.status == "fail"] == []
    assert found["permissions"].status == found["object storage"].status == "ok"


def test_a_namespace_of_somebody_else_is_left_alone(admin: Kubernetes, tenant: mlk8s.Tenant) -> None:
    with pytest.raises(Conflict, match=f"Namespace '{admin.namespace}' is there already"):
        admin.apply(mlk8s.Tenant(name=admin.namespace))
    assert admin.cluster.find("ResourceQuota", "tenant", admin.namespace) is None


def test_the_user_deploys_canaries_loads_and_undoes(
    user: Kubernetes, models: list[str], tmp_path: Path
) -> None:
    spec = mlk8s.ModelService(name="iris", model=models[0], replicas=1, resources=SMALL)
    service = user.deploy(spec)
    assert service.predict([ROW]).model_version == "1"
    (served,) = user.cluster.list("Pod", labels="app.kubernetes.io/name=iris")
    assert served["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    profile = mlk8s.LoadProfile.steps(rps=[5], hold="2s")
    total = service.loadtest(profile, inputs=[ROW], directory=tmp_path / "run").summary.total
    assert total.ok == total.total >= 8
    canary = service.canary(models[1], weight=50, header="X-Canary")
    assert service.predict([ROW], headers={"X-Canary": "always"}).model_version == "2"
    canary.promote()
    wait_for(lambda: service.predict([ROW]).model_version == "2")  # once the controller has heard of it
    service.undo()
    assert service.predict([ROW]).model_version == "1"
    assert [item.name for item in user.services()] == ["iris"]


def test_prometheus_reads_the_tenants_pods(admin: Kubernetes, user: Kubernetes, tenant: mlk8s.Tenant) -> None:
    """The deny-all policy lets it in."""
    prometheus = Prometheus(admin.cluster, str(admin.platform.prometheus))
    query = f'up{{namespace="{tenant.name}"}}'
    wait_for(lambda: any(sample.value == 1 for sample in prometheus.query(query)))


def test_the_user_runs_a_job(user: Kubernetes, tenant: mlk8s.Tenant) -> None:
    job = mlk8s.FeatureJob(
        name="rows", source=SOURCE, output=f"s3://features/{tenant.name}", resources=SMALL, active_deadline=90
    )
    result = user.run_job(job)
    assert result is not None and result.rows == 3


def test_what_the_user_may_not(user: Kubernetes, admin: Kubernetes, tenant: mlk8s.Tenant) -> None:
    cluster = user.cluster
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "mine"}}
    role |= {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "notebook", "namespace": tenant.name}],
    }
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    place = f"/api/v1/namespaces/{tenant.name}"
    refused = {
        "read another namespace": lambda: cluster.list("Pod", admin.namespace),
        "read a Secret of kube-system": lambda: cluster.get("Secret", "any", "kube-system"),
        "read the platform's Secret": lambda: cluster.get("Secret", "mlk8s-storage", "mlk8s-system"),
        "list Secrets": lambda: cluster.list("Secret"),
        "read another Secret": lambda: cluster.get("Secret", "other"),
        "bind a role": lambda: cluster.create(role),
        "raise its quota": lambda: cluster.patch(
            "ResourceQuota", "tenant", {"spec": {"hard": {"pods": "99"}}}
        ),
        "open its namespace": lambda: cluster.patch(
            "Namespace", tenant.name, {"metadata": {"labels": {"a": "b"}}}
        ),
        "make a pod": lambda: cluster.create(pod("mine")),
        "make a token": lambda: cluster.raw("POST", f"{place}/serviceaccounts/pipeline/token", body=token),
        "run a command": lambda: cluster.raw("POST", f"{place}/pods/any/exec", query={"command": "id"}),
        "list nodes": lambda: cluster.list("Node"),
        "list namespaces": lambda: cluster.list("Namespace"),
    }
    for what, act in refused.items():
        with pytest.raises(Forbidden):
            act()
            pytest.fail(f"the user could {what}")
    rules = admin.cluster.get("Role", "tenant-user", tenant.name)["rules"]
    words = {word for rule in rules for part in ("verbs", "resources", "apiGroups") for word in rule[part]}
    assert not words & {"*", "escalate", "bind", "impersonate", "roles", "rolebindings"}


def test_the_users_network_policies_lead_nowhere_else(
    user: Kubernetes, admin: Kubernetes, tenant: mlk8s.Tenant
) -> None:
    def policy(name: str, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": tenant.name}
        body = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **spec}
        version = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        return version | {"metadata": metadata, "spec": body}

    def namespace(name: str) -> dict[str, Any]:
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}

    everybody = {"ipBlock": {"cidr": "0.0.0.0/0"}}
    for spec in (
        {"egress": [{}]},
        {"egress": [{"to": []}]},
        {"egress": [{"to": [everybody]}]},
        {"egress": [{"to": [namespace(admin.namespace)]}]},
        {"egress": [{"to": [{"namespaceSelector": {}}]}]},
        {"egress": [{"to": [namespace("mlk8s-system")]}, {"to": [everybody]}]},
        {"ingress": [{}]},
        {"ingress": [{"from": [namespace("default")]}]},
    ):
        with pytest.raises(Rejected, match="a user's NetworkPolicy may"):
            user.cluster.create(policy("mine", **spec))
    for name in ("default-deny", "tenant-allow"):
        with pytest.raises(Rejected, match="is the tenant's own"):
            user.cluster.delete("NetworkPolicy", name)
        with pytest.raises(Rejected, match="is the tenant's own"):
            user.cluster.patch("NetworkPolicy", name, {"spec": {"policyTypes": ["Ingress"]}})
    user.cluster.create(policy("mine", egress=[{"to": [{"podSelector": {}}, namespace("mlk8s-system")]}]))
    user.cluster.delete("NetworkPolicy", "mine")
    admin.cluster.create(policy("theirs", egress=[{"to": [everybody]}]))
    admin.cluster.delete("NetworkPolicy", "theirs", tenant.name)


def test_quota_and_defaults(
    user: Kubernetes, admin: Kubernetes, models: list[str], tenant: mlk8s.Tenant
) -> None:
    wide = mlk8s.Resources(cpu="50m", cpu_limit=None, memory="2Gi")
    with pytest.raises(RolloutFailed, match="exceeded quota: tenant") as told:
        user.deploy(mlk8s.ModelService(name="wide", model=models[0], replicas=1, resources=wide))
    assert "requests.memory" in told.value.what
    user.service("wide").delete()
    with pytest.raises(Rejected, match="exceeded quota: tenant"):
        node_port = mlk8s.ModelService(name="port", model=models[0], service_type="NodePort", resources=SMALL)
        user.deploy(node_port.replace(replicas=1))
    bare = pod("bare")
    bare["metadata"]["namespace"] = tenant.name
    bare["spec"]["containers"][0].pop("resources")
    made = admin.cluster.create(bare, dry_run=True)
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "256Mi"},
        "requests": {"cpu": "100m", "memory": "128Mi"},
    }


def test_the_walls_hold(
    admin: Kubernetes, tenant: mlk8s.Tenant, local_cluster: Local, python_pods: str
) -> None:
    """Between namespaces nothing passes, in either direction; inside, DNS and storage are open."""

    def address(name: str, namespace: str) -> str:
        return str(admin.cluster.get("Service", name, namespace)["spec"]["clusterIP"])

    inside = create_pod(local_cluster, tenant.name, pod("inside"))
    outside = create_pod(local_cluster, admin.namespace, pod("outside"))
    targets = {
        "inside": f"{inside}:8080",
        "storage": f"{address('seaweedfs', 'mlk8s-system')}:8333",
        "dns": f"{address('kube-dns', 'kube-system')}:53",
        "outside": f"{outside}:8080",
        "prometheus": f"{address('prometheus', 'mlk8s-system')}:9090",
    }
    env = [{"name": "TARGETS", "value": json.dumps(targets)}]
    # The machine is outside, too: what a pod of the tenant reaches is read from its log.
    create_pod(local_cluster, tenant.name, pod("prober", script=PROBER, env=env))
    text = wait_for(lambda: admin.cluster.logs("prober", tenant.name).strip())
    assert json.loads(text) == {name: name in ("inside", "storage", "dns") for name in targets}
    with fresh_cluster_namespace(local_cluster, "tenant-far") as far:
        distant = create_pod(local_cluster, far, pod("distant"))
        reached = {to: ask(distant, f"/tcp?to={to}:8080") == "open" for to in (outside, inside)}
    assert reached == {outside: True, inside: False}, "without a tenant's policy the way is open"


def test_access_is_for_users_that_are_there_and_ends(admin: Kubernetes, tenant: mlk8s.Tenant) -> None:
    with pytest.raises(NotFound, match="no user 'ada'"):
        access(admin.cluster, tenant.name, "ada")
    with pytest.raises(NotFound, match="no tenant 'nowhere'"):
        access(admin.cluster, "nowhere")
    with pytest.raises(UsageError, match="token for 5 s"):
        access(admin.cluster, tenant.name, expires=5)
    assert "token" not in repr(access(admin.cluster, tenant.name))


def test_the_file_form(admin: Kubernetes, tenant: mlk8s.Tenant, tmp_path: Path) -> None:
    file = tmp_path / "tenant.yaml"
    document: dict[str, Any] = {"apiVersion": "mlk8s.dev/v1", "kind": "Tenant", "metadata": {"name": "filed"}}
    file.write_text(yaml.safe_dump(document | {"spec": {"limits": {"max": {"memory": "2Gi"}}}}))
    command = [sys.executable, "-m", "mlk8s", "deploy", "-f", str(file), "--dry-run", "client"]
    done = subprocess.run(
        [*command, "--kubeconfig", str(admin.cluster.source)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    planned = {item["kind"]: item for item in yaml.safe_load_all(done.stdout)}
    assert planned["LimitRange"]["spec"]["limits"][0]["max"] == {"memory": "2Gi"}
