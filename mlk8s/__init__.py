"""From a model in a notebook to a service on Kubernetes that scales and can be trusted.

    import mlk8s
    k8s = mlk8s.connect()
    iris = k8s.deploy(mlk8s.ModelService(name="iris", model="s3://models/iris/1"))
    iris.predict([[5.1, 3.5, 1.4, 0.2]])

Importing this package loads neither `kubernetes` nor `locust` nor `matplotlib`: each name is imported when it
is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime >= 1.29 reports each process to its maker from its first import on, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PUBLIC = {
    "Alerts": "mlk8s.spec.alerts",
    "Analysis": "mlk8s.spec.analysis",
    "Autoscale": "mlk8s.spec.autoscale",
    "Behavior": "mlk8s.spec.autoscale",
    "CaFile": "mlk8s.spec.urls",
    "Canary": "mlk8s.spec.canary",
    "Container": "mlk8s.spec.container",
    "DaemonSet": "mlk8s.spec.workload",
    "Diagnosis": "mlk8s.assess.why.facts",
    "Expression": "mlk8s.spec.scheduling",
    "ExternalName": "mlk8s.spec.route",
    "FeatureCronJob": "mlk8s.spec.job",
    "FeatureJob": "mlk8s.spec.job",
    "Follow": "mlk8s.spec.metric",
    "Gpu": "mlk8s.spec.resources",
    "Input": "mlk8s.spec.urls",
    "LoadProfile": "mlk8s.spec.load",
    "Metric": "mlk8s.spec.metric",
    "FeatureJobSet": "mlk8s.spec.jobset",
    "JobRole": "mlk8s.spec.jobset",
    "LogCollector": "mlk8s.spec.logs",
    "ModelService": "mlk8s.spec.service",
    "NodeTerm": "mlk8s.spec.scheduling",
    "PathRule": "mlk8s.spec.route",
    "PodTerm": "mlk8s.spec.scheduling",
    "Policy": "mlk8s.spec.autoscale",
    "PriorityClass": "mlk8s.spec.scheduling",
    "Probe": "mlk8s.spec.container",
    "Probes": "mlk8s.spec.container",
    "Resources": "mlk8s.spec.resources",
    "Route": "mlk8s.spec.route",
    "Scheduling": "mlk8s.spec.scheduling",
    "ServiceType": "mlk8s.spec.route",
    "Shadow": "mlk8s.spec.shadow",
    "Slo": "mlk8s.spec.load",
    "Spread": "mlk8s.spec.scheduling",
    "Stage": "mlk8s.spec.load",
    "Step": "mlk8s.spec.analysis",
    "StatefulSet": "mlk8s.spec.workload",
    "Toleration": "mlk8s.spec.scheduling",
    "Vertical": "mlk8s.spec.vertical",
    "Volume": "mlk8s.spec.volume",
    "Workers": "mlk8s.spec.workers",
    "Mlk8sError": "mlk8s.errors",
    "Report": "mlk8s.report",
    "Run": "mlk8s.operations.run",
    "ServiceModel": "mlk8s.assess.scaling",
    "Sizing": "mlk8s.operations.sizing",
    "Allow": "mlk8s.spec.tenant",
    "ContainerLimits": "mlk8s.spec.tenant",
    "Tenant": "mlk8s.spec.tenant",
    "connect": "mlk8s.operations.connection",
    "simulate": "mlk8s.report.twin",
    "self_signed": "mlk8s.operations.tls",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from mlk8s.assess.scaling import ServiceModel as ServiceModel
    from mlk8s.assess.why.facts import Diagnosis as Diagnosis
    from mlk8s.errors import Mlk8sError as Mlk8sError
    from mlk8s.operations.connection import connect as connect
    from mlk8s.operations.sizing import Sizing as Sizing
    from mlk8s.operations.tls import self_signed as self_signed
    from mlk8s.report.twin import simulate as simulate
    from mlk8s.spec.alerts import Alerts as Alerts
    from mlk8s.spec.analysis import Analysis as Analysis
    from mlk8s.spec.analysis import Step as Step
    from mlk8s.spec.autoscale import Autoscale as Autoscale
    from mlk8s.spec.autoscale import Behavior as Behavior
    from mlk8s.spec.autoscale import Policy as Policy
    from mlk8s.spec.canary import Canary as Canary
    from mlk8s.spec.container import Container as Container
    from mlk8s.spec.container import Probe as Probe
    from mlk8s.spec.container import Probes as Probes
    from mlk8s.spec.job import FeatureCronJob as FeatureCronJob
    from mlk8s.spec.job import FeatureJob as FeatureJob
    from mlk8s.spec.jobset import FeatureJobSet as FeatureJobSet
    from mlk8s.spec.jobset import JobRole as JobRole
    from mlk8s.spec.load import LoadProfile as LoadProfile
    from mlk8s.spec.load import Slo as Slo
    from mlk8s.spec.load import Stage as Stage
    from mlk8s.spec.logs import LogCollector as LogCollector
    from mlk8s.spec.metric import Follow as Follow
    from mlk8s.spec.metric import Metric as Metric
    from mlk8s.spec.resources import Gpu as Gpu
    from mlk8s.spec.resources import Resources as Resources
    from mlk8s.spec.route import ExternalName as ExternalName
    from mlk8s.spec.route import PathRule as PathRule
    from mlk8s.spec.route import Route as Route
    from mlk8s.spec.route import ServiceType as ServiceType
    from mlk8s.spec.scheduling import Expression as Expression
    from mlk8s.spec.scheduling import NodeTerm as NodeTerm
    from mlk8s.spec.scheduling import PodTerm as PodTerm
    from mlk8s.spec.scheduling import PriorityClass as PriorityClass
    from mlk8s.spec.scheduling import Scheduling as Scheduling
    from mlk8s.spec.scheduling import Spread as Spread
    from mlk8s.spec.scheduling import Toleration as Toleration
    from mlk8s.spec.service import ModelService as ModelService
    from mlk8s.spec.shadow import Shadow as Shadow
    from mlk8s.spec.tenant import Allow as Allow
    from mlk8s.spec.tenant import ContainerLimits as ContainerLimits
    from mlk8s.spec.tenant import Tenant as Tenant
    from mlk8s.spec.urls import CaFile as CaFile
    from mlk8s.spec.urls import Input as Input
    from mlk8s.spec.vertical import Vertical as Vertical
    from mlk8s.spec.volume import Volume as Volume
    from mlk8s.spec.workers import Workers as Workers
    from mlk8s.spec.workload import DaemonSet as DaemonSet
    from mlk8s.spec.workload import StatefulSet as StatefulSet


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlk8s' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
