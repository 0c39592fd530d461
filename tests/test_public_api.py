"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import mlk8s


def test_the_public_names_are_these() -> None:
    assert sorted(mlk8s.__all__) == [
        "Alerts", "Allow", "Analysis", "Autoscale", "Behavior", "CaFile", "Canary", "Container",
        "ContainerLimits", "DaemonSet", "Diagnosis", "Expression", "ExternalName", "FeatureCronJob",
        "FeatureJob", "FeatureJobSet", "Follow", "Gpu", "Input", "JobRole", "LoadProfile", "LogCollector",
        "Metric", "Mlk8sError", "ModelService", "NodeTerm", "PathRule", "PodTerm", "Policy",
        "PriorityClass", "Probe", "Probes", "Report", "Resources", "Route", "Run", "Scheduling",
        "ServiceModel", "ServiceType", "Shadow", "Sizing", "Slo", "Spread", "Stage", "StatefulSet", "Step",
        "Tenant", "Toleration", "Vertical", "Volume", "Workers", "__version__", "connect", "self_signed",
        "simulate",
    ]  # fmt: skip


def test_every_public_name_can_be_imported_and_has_words() -> None:
    for name in mlk8s.__all__:
        value = getattr(mlk8s, name)
        assert name.startswith("__") or value.__doc__, name
    assert set(mlk8s.__all__) <= set(dir(mlk8s))


def fresh(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_importing_loads_nothing_that_is_not_used() -> None:
    heavy = (
        "kubernetes",
        "locust",
        "gevent",
        "matplotlib",
        "pydantic",
        "numpy",
        "pyarrow",
        "typer",
        "onnxruntime",
    )
    fresh(
        "import sys, mlk8s; "
        f"loaded = [name for name in {heavy!r} if name in sys.modules]; assert not loaded, loaded"
    )


def test_specs_and_connect_load_neither_locust_nor_matplotlib() -> None:
    # Locust patches the interpreter: in a kernel it must never be imported
    fresh(
        "import sys, mlk8s; mlk8s.ModelService, mlk8s.LoadProfile, mlk8s.Run, mlk8s.connect; "
        "heavy = ('locust', 'gevent', 'matplotlib', 'kubernetes'); "
        "loaded = [name for name in heavy if name in sys.modules]; "
        "assert not loaded, loaded"
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    try:
        mlk8s.Nonsense  # noqa: B018
    except AttributeError as error:
        assert "Nonsense" in str(error)
    else:
        raise AssertionError("a name that is not there was found")
