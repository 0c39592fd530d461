"""`mlk8s.connect()`: one object for everything a person does with a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform, discover
from mlk8s.errors import Forbidden, Mlk8sError, NotFound, UsageError
from mlk8s.operations.service import Service

if TYPE_CHECKING:
    from mlk8s.assess.difference import Difference
    from mlk8s.assess.why.facts import Diagnosis
    from mlk8s.operations.job import JobResult
    from mlk8s.operations.log_search import Logs
    from mlk8s.operations.objects import Applied
    from mlk8s.operations.values import Value
    from mlk8s.spec.base import Spec
    from mlk8s.spec.job import FeatureCronJob, FeatureJob
    from mlk8s.spec.metric import Metric
    from mlk8s.spec.service import ModelService
    from mlk8s.storage.credentials import StorageConfig

Say = Callable[[str], None]

_SERVICES = (
    "app.kubernetes.io/managed-by=mlk8s,app.kubernetes.io/component=model-server,mlk8s.dev/track=stable"
)
"""Labels of the Deployments that are a service's own, not a canary's."""


def connect(
    context: str | None = None,
    *,
    kubeconfig: str | os.PathLike[str] | None = None,
    namespace: str | None = None,
    cluster: str | None = None,
) -> Kubernetes:
    """Connect to a cluster: your kubeconfig, the pod's own, or the local cluster.

    Args:
        context: a context of the kubeconfig; None means its current one.
        kubeconfig: path of a kubeconfig; None means KUBECONFIG, then ~/.kube/config, then the pod's service
            account, then the local cluster of this machine.
        namespace: where objects are made; None means the context's namespace.
        cluster: name of a local cluster that `mlk8s up` made; `MLK8S_CLUSTER` says the same.

    Raises:
        Unreachable: no kubeconfig, or an API server that does not answer.
        Forbidden: credentials that are not accepted.
        UsageError: no such context.
    """
    client = Cluster.connect(context, kubeconfig, namespace, cluster)
    version = client.version()
    return Kubernetes(client, discover(client), version)


class Kubernetes:
    """A cluster that answers, and what may be done with it.

    Attributes:
        cluster: the API as dicts, for what this class does not cover.
        platform: what the cluster offers: ingress class and URL, storage, Prometheus, images.
        version: the API server's version.
    """

    def __init__(self, cluster: Cluster, platform: Platform, version: str) -> None:
        self.cluster = cluster
        self.platform = platform
        self.version = version

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def __repr__(self) -> str:
        return (
            f"Kubernetes {self.version} at {self.cluster.server}, context {self.cluster.context!r}, "
            f"namespace {self.namespace!r}"
        )

    @property
    def logs(self) -> Logs:
        """The lines that the log collector has shipped: `k8s.logs.search("timeout", service="iris")`."""
        from mlk8s.operations.log_search import Logs

        return Logs(self.cluster, self.storage)

    def create_namespace(self, name: str | None = None) -> bool:
        """Make a namespace with Pod Security `restricted` if it is not there; return whether it was made."""
        from mlk8s.operations.preflight import require_namespace

        return require_namespace(self.cluster, name or self.namespace, create=True)

    def create_secret(
        self,
        name: str,
        data: Mapping[str, Value],
        *,
        namespace: str | None = None,
        say: Say | None = None,
    ) -> None:
        """Make a Secret, or replace one that mlk8s made; its values are shown nowhere.

        Args:
            data: by key: bytes, text, or a Path whose bytes are read.

        Raises:
            UsageError: a name, key or size that Kubernetes does not take, or no such file.
            Conflict: a Secret of that name is somebody else's.
        """
        from mlk8s.operations.secrets import create_secret

        create_secret(self.cluster, namespace or self.namespace, name, data, say=say or print)

    def create_config_map(
        self,
        name: str,
        data: Mapping[str, Value],
        *,
        namespace: str | None = None,
        say: Say | None = None,
    ) -> None:
        """Make a ConfigMap, or replace one that mlk8s made; specs make those of `config_files` themselves.

        Args:
            data: by key: bytes, text, or a Path whose bytes are read.

        Raises:
            UsageError: a name, key or size that Kubernetes does not take, no such file, or a plain secret.
            Conflict: a ConfigMap of that name is somebody else's.
        """
        from mlk8s.operations.config_maps import create_config_map

        create_config_map(self.cluster, namespace or self.namespace, name, data, say=say or print)

    def deploy(
        self,
        service: ModelService,
        *,
        wait: bool = True,
        timeout: float = 180.0,
        create_namespace: bool = False,
        say: Say | None = None,
    ) -> Service:
        """Apply everything a model service is made of and wait until it serves.

        Running it again converges. While waiting, one line a change goes to `say` (default: printed).

        Args:
            timeout: seconds to wait; a known cause ends the wait earlier.
            create_namespace: make the namespace, with Pod Security `restricted`, where it is not there.

        Raises:
            RolloutFailed: the pods cannot become ready; the message names the cause and what still serves.
            WaitTimeout: time was up without a known cause.
            Rejected, Conflict, Forbidden: the API server refused an object; what was applied is named.
            StorageError: the model is not in the storage, or its digest differs.
        """
        from mlk8s.operations.deploy import deploy
        from mlk8s.spec.service import ModelService

        _expect(service, ModelService, "deploy")
        deploy(
            self.cluster,
            self.platform,
            service,
            wait=wait,
            timeout=timeout,
            create_namespace=create_namespace,
            say=say or print,
        )
        return Service(self.cluster, self.platform, service.name, service.namespace or self.namespace)

    def service(self, name: str, namespace: str | None = None) -> Service:
        """Return a model service that was deployed before.

        Raises:
            NotFound: there is none of that name; lists those that are there.
        """
        service = Service(self.cluster, self.platform, name, namespace or self.namespace)
        if self.cluster.find("Deployment", name, service.namespace) is None:
            there = [item.name for item in self.services(service.namespace)]
            elsewhere = self._namespaces_with(name)
            raise NotFound(
                f"no model service is named {name!r}",
                where=f"namespace {service.namespace!r} of context {self.cluster.context!r}",
                expected=f"one of: {', '.join(there)}" if there else "a service that `deploy` made",
                next_step=f"it is in namespace {', '.join(elsewhere)}: -n, or `connect(namespace=...)`"
                if elsewhere
                else None,
            )
        return service

    def _namespaces_with(self, name: str) -> list[str]:
        try:
            found = self.cluster.list(
                "Deployment", all_namespaces=True, labels=f"{_SERVICES},app.kubernetes.io/name={name}"
            )
        except Mlk8sError:  # not everybody may look there, and a name that was mistyped may be no label
            return []
        return sorted(item["metadata"]["namespace"] for item in found)

    def services(self, namespace: str | None = None) -> list[Service]:
        """Return the model services of a namespace."""
        namespace = namespace or self.namespace
        found = self.cluster.list("Deployment", namespace, labels=_SERVICES)
        return [Service(self.cluster, self.platform, item["metadata"]["name"], namespace) for item in found]

    def apply(
        self,
        spec: Spec,
        *,
        wait: bool = True,
        timeout: float = 180.0,
        create_namespace: bool = False,
        say: Say | None = None,
    ) -> Applied:
        """Apply any declared object but a ModelService, and wait until its pods are ready.

        Running it again converges: what the spec no longer asks for is removed. `mlk8s.render.objects` lists
        the kinds.

        Raises:
            NotFound: the namespace is not there, or the cluster lacks a kind that the object needs.
            Conflict: an object of somebody else has the name.
            Rejected, Forbidden: the API server refused an object; what was applied is named.
            RolloutFailed, WaitTimeout: pods do not become ready; the cause, where it is known.
        """
        from mlk8s.operations.objects import apply_spec
        from mlk8s.spec.base import Spec

        _expect(spec, Spec, "apply")
        return apply_spec(
            self.cluster, self.platform, spec, wait=wait, timeout=timeout,
            create_namespace=create_namespace, say=say or print,
        )  # fmt: skip

    def remove(
        self,
        spec: Spec | str,
        name: str | None = None,
        *,
        namespace: str | None = None,
        say: Say | None = None,
    ) -> None:
        """Remove every object of a declared one: `remove(spec)` or `remove("StatefulSet", "vectors")`.

        What its spec says is to be kept (data of a volume, for example) stays, and is named.

        Raises:
            NotFound: there is nothing of that kind and name.
        """
        from mlk8s.operations.objects import remove_spec

        remove_spec(self.cluster, spec, name, namespace=namespace, say=say or print)

    def create_tls_secret(
        self,
        name: str,
        certificate: bytes | str | os.PathLike[str],
        key: bytes | str | os.PathLike[str],
        *,
        host: str | None = None,
        namespace: str | None = None,
    ) -> None:
        """Write a certificate and its key as the Secret that `Route(tls=NAME)` names; PEM bytes, or files.

        Args:
            host: name that the certificate has to be valid for.

        Raises:
            UsageError: wrong host, expired, not the certificate's key, or no such file; nothing was written.
        """
        from mlk8s.operations.tls import create_tls_secret

        create_tls_secret(self.cluster, name, certificate, key, host=host, namespace=namespace)

    def install_metric(self, metric: Metric, *, wait: bool = True, say: Say | None = None) -> None:
        """Let the platform's adapter serve a metric of one's own, so that `Autoscale` can follow it.

        Args:
            wait: until the metrics API lists it, which takes a pod that exposes its series.

        Raises:
            NotFound: the adapter is not the platform's, or no value comes.
            Forbidden: we may not write in the platform's namespace.
        """
        from mlk8s.operations.metrics import install_metric, wait_metric

        install_metric(self.cluster, metric, say=say or print)
        if wait:
            wait_metric(self.cluster, metric)

    def metrics(self) -> list[Metric]:
        """Return the metrics of one's own that are declared in the cluster."""
        from mlk8s.operations.metrics import metrics

        return metrics(self.cluster)

    def remove_metric(self, name: str, *, wait: bool = True, say: Say | None = None) -> None:
        """Take a metric of one's own from the platform's adapter.

        Args:
            wait: until the metrics API has forgotten it.

        Raises:
            NotFound: no such metric is declared; names those that are.
            Forbidden: we may not write in the platform's namespace.
        """
        from mlk8s.operations.metrics import remove_metric, wait_gone

        metric = remove_metric(self.cluster, name, say=say or print)
        if wait:
            wait_gone(self.cluster, metric)

    def run_job(
        self, job: FeatureJob, *, wait: bool = True, timeout: float | None = None, say: Say | None = None
    ) -> JobResult | None:
        """Run a feature pipeline as a Job and return what it published; None where it is not waited for.

        Raises:
            RolloutFailed: the Job failed; the message has the cause and the last log lines.
            WaitTimeout: it still runs after `timeout` seconds (default: the job's active deadline).
        """
        from mlk8s.operations.job import run_job
        from mlk8s.spec.job import FeatureJob

        _expect(job, FeatureJob, "run_job")
        return run_job(self.cluster, self.platform, job, wait=wait, timeout=timeout, say=say or print)

    def apply_cron(self, cron: FeatureCronJob, *, say: Say | None = None) -> None:
        """Apply a scheduled feature pipeline."""
        from mlk8s.operations.cron import apply_cron
        from mlk8s.spec.job import FeatureCronJob

        _expect(cron, FeatureCronJob, "apply_cron")
        apply_cron(self.cluster, self.platform, cron, say=say or print)

    def trigger_cron(
        self, name: str, *, namespace: str | None = None, wait: bool = True, say: Say | None = None
    ) -> JobResult | None:
        """Start a CronJob's pipeline now, beside its schedule; None where it is not waited for."""
        from mlk8s.operations.cron import trigger_cron

        return trigger_cron(
            self.cluster,
            name,
            namespace or self.namespace,
            platform=self.platform,
            wait=wait,
            say=say or print,
        )

    def why(self, wanted: str, namespace: str | None = None) -> Diagnosis:
        """Say why an object does not do what it is there for: one sentence of cause and one of remedy.

        Args:
            wanted: 'pod/x', 'deployment/x', 'job/x', 'hpa/x', 'ingress/x', 'pvc/x', ..., or a name alone.

        Raises:
            NotFound: there is no such object; names what is there.
            UsageError: an unknown kind.
        """
        from mlk8s.operations.why import why

        return why(self.cluster, self.platform, wanted, namespace)

    def why_all(self, namespace: str | None = None) -> list[Diagnosis]:
        """Look at everything in a namespace; those with a `cause` are broken."""
        from mlk8s.operations.why import why_all

        return why_all(self.cluster, self.platform, namespace)

    def diff(self, *specs: Spec, say: Say | None = None) -> list[Difference]:
        """Return what deploying or applying the specs would change, by a server dry run; nothing is kept.

        Each Difference names its object, what would happen to it, and a unified diff with Secrets masked.

        Raises:
            StorageError: a model is not in the storage, or its digest differs.
            NotFound, Rejected, Forbidden: the API server refused the dry run of an object.
        """
        from mlk8s.operations.diff import diff_specs

        return diff_specs(self.cluster, self.platform, specs, say=say or print)

    def storage(self) -> StorageConfig:
        """Return the platform's object storage as seen from here, with its credentials.

        A tenant's user, who may not read the platform's Secret, gets the copy of the own namespace.

        Raises:
            NotFound: the cluster has no platform storage that can be reached from outside.
        """
        import base64

        from mlk8s.storage.credentials import StorageConfig

        if self.platform.s3_endpoint_outside is None:
            raise NotFound(
                "the cluster says no address of its object storage",
                where=f"ConfigMap mlk8s-system/mlk8s-platform of context {self.cluster.context!r}",
                expected="the key s3-endpoint-outside",
                next_step="pass StorageConfig(endpoint=..., ...) of your own storage, or use `mlk8s up`",
            )
        try:
            data = self.cluster.get("Secret", "mlk8s-storage", "mlk8s-system")["data"]
        except Forbidden:
            data = self.cluster.get("Secret", "mlk8s-storage")["data"]
        values = {key: base64.b64decode(text).decode() for key, text in data.items()}
        return StorageConfig(
            endpoint=self.platform.s3_endpoint_outside,
            access_key_id=values["access-key-id"],
            secret_access_key=values["secret-access-key"],
        )


def _expect(given: object, wanted: type[Spec], method: str) -> None:
    if isinstance(given, wanted):
        return
    one = "a declared object, such as StatefulSet" if wanted.__name__ == "Spec" else f"a {wanted.__name__}"
    raise UsageError(
        f"{method}: a {type(given).__name__} is given",
        expected=one,
        next_step="ModelService: `deploy`; FeatureJob: `run_job`; FeatureCronJob: `apply_cron`; "
        "any other: `apply`; plain manifests: `mlk8s apply -f`",
    )
