"""A model that answers requests: everything one ModelService is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.configuration import Configuration
from mlk8s.spec.container import Container, Probes
from mlk8s.spec.fields import Image, Labels, Name, Namespace, Seconds
from mlk8s.spec.placement import check_placement
from mlk8s.spec.pod import Pulled
from mlk8s.spec.pods import check_pods
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.rivals import check_colours, check_demand, check_rivals
from mlk8s.spec.route import Route, ServiceType, as_service_type
from mlk8s.spec.scheduling import Scheduling
from mlk8s.spec.strategy import IntOrPercent, Strategy, check_strategy
from mlk8s.spec.urls import CaFile, Digest, ModelUrl, digest_needed, scheme
from mlk8s.spec.vertical import Vertical
from mlk8s.spec.volume import Volume


class ModelService(Pulled, Configuration):
    """One model version served by a Deployment behind a Service and an Ingress.

    Attributes:
        name: DNS-1123 label, at most 50 characters.
        model: s3://BUCKET/PATH, pvc://CLAIM/PATH or https://HOST/PATH of a version with its manifest, or
            file:///PATH of one in the image.
        digest: sha256:... of the manifest; `deploy` fills it in where it can reach the storage, so that every
            pod serves the same bytes. Needed for pvc://, and for https:// that cannot be read from here.
        model_ca: authority of the certificate of an https:// model, where the system does not know it.
        namespace: None means the connection's namespace.
        replicas: pods, where nothing scales them.
        autoscale: scale by a metric instead.
        vertical: find out by watching how much CPU and memory the model server needs.
        gpu: GPUs a pod.
        route: None keeps the service inside the cluster.
        service_type: `ClusterIP`, `NodePort`, `LoadBalancer`, `Headless`, or a ServiceType with options.
        resources: CPU and memory a pod.
        image: model server image; None means the platform's.
        image_pull_secrets: Secrets of registries that want a login; see Pulled.
        storage_secret: Secret with access-key-id and secret-access-key, mounted as files.
        storage_endpoint: S3 address as seen from pods; None means the platform's.
        env, config_files, secret_env, secret_files: what the server reads; see Configuration.
        init: containers that run one after the other before the model is fetched.
        sidecars: containers beside the server: they start, in this order, after `init` and before the model
            is fetched, restart by themselves, and end after the server.
        probes: other questions or timing than the server's own; what is left out stays.
        labels: further labels on every object.
        volumes: further storage of the server's container, by Volume.mount.
        scheduling: where the pods run.
        startup_timeout: seconds a pod may take to load its model.
        request_timeout: seconds of the longest request; the pod drains that long before it ends.
        max_in_flight: requests a pod holds before it answers 503 with Retry-After.
        strategy: how pods are replaced. `RollingUpdate` goes pod by pod; `Recreate` ends all old pods first,
            so that requests are lost meanwhile, and needs no room for two versions; `BlueGreen` starts the
            new version beside the old one and switches all requests at once, when asked to.
        max_surge, max_unavailable: pods above, and below, the wanted number during a rolling update: a number
            or a share such as '25%'; 1 and 0 by default.
        retain: seconds that the old colour stays after a blue/green switch; 300 by default.
    """

    name: Name
    model: ModelUrl
    digest: Digest | None = None
    model_ca: CaFile | None = None
    namespace: Namespace | None = None
    replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] = 2
    autoscale: Autoscale | None = None
    vertical: Vertical | None = None
    gpu: Gpu | None = None
    route: Route | None = Route()
    service_type: Annotated[ServiceType, BeforeValidator(as_service_type)] = ServiceType()
    resources: Resources = Resources()
    image: Image | None = None
    storage_secret: Name = "mlk8s-storage"
    storage_endpoint: str | None = None
    labels: Labels = {}
    init: tuple[Container, ...] = ()
    sidecars: tuple[Container, ...] = ()
    probes: Probes | None = None
    volumes: tuple[Volume, ...] = ()
    scheduling: Scheduling = Scheduling()
    startup_timeout: Annotated[Seconds, Field(ge=1, le=3600)] = 120.0
    request_timeout: Annotated[Seconds, Field(ge=1, le=600)] = 10.0
    max_in_flight: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 256
    strategy: Strategy = "RollingUpdate"
    max_surge: IntOrPercent | None = None
    max_unavailable: IntOrPercent | None = None
    retain: Annotated[Seconds, Field(ge=0, le=86_400)] | None = None

    @model_validator(mode="after")
    def _one_source_of_replicas(self) -> ModelService:
        if self.autoscale is not None and "replicas" in self.model_fields_set:
            raise ValueError(
                "replicas and autoscale are both given, and would fight over one field; expected one of them "
                "(Autoscale(min=..., max=...) sets the bounds)"
            )
        return self

    @model_validator(mode="after")
    def _autoscalers_agree(self) -> ModelService:
        check_rivals(self.autoscale, self.vertical, self.replicas)
        check_colours(self.autoscale, self.vertical, self.strategy)
        check_demand(self.autoscale, ingress=self.route is not None and self.route.gateway is None)
        return self

    @model_validator(mode="after")
    def _model_is_certain(self) -> ModelService:
        if scheme(self.model) == "file" and self.image is None:
            raise ValueError(
                f"model {self.model} is in an image; expected `image` to name it "
                "(`mlk8s image build --model` makes one)"
            )
        if scheme(self.model) == "pvc" and self.digest is None:
            raise ValueError(digest_needed(self.model))
        if self.model_ca is not None and scheme(self.model) != "https":
            raise ValueError(f"model_ca is for https:// models, and model is {self.model}")
        return self

    @model_validator(mode="after")
    def _placement(self) -> ModelService:
        pods = self.autoscale.max if self.autoscale is not None else self.replicas
        check_placement(self.volumes, self.scheduling, self.gpu, pods, rolls=self.strategy != "Recreate")
        return self

    @model_validator(mode="after")
    def _strategy(self) -> ModelService:
        check_strategy(self.strategy, self.max_surge, self.max_unavailable, self.retain)
        return self

    @model_validator(mode="after")
    def _pods(self) -> ModelService:
        check_pods(self)
        return self
