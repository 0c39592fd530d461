"""A real local cluster for the end-to-end tests: one for each process of a run, bare ones for tests that
break them.

MLK8S_TEST_CLUSTER is its name (mlk8s-test), MLK8S_TEST_PORT its port (18080); MLK8S_KEEP=1 leaves it up. Of
several processes (`pytest -n 2 --dist loadfile`), the second's cluster is mlk8s-test-1, at port 18130.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from e2e_tools import wait_for
from pods import python_image

from mlk8s.local import native
from mlk8s.local.agent.api import Api, ApiError
from mlk8s.local.handle import Local
from mlk8s.local.progress import open_progress

_PORTS = 50
"""Between the ports of two processes."""


def pytest_configure() -> None:
    """Give this process's cluster a name and a port of its own."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    name = os.environ.get("MLK8S_TEST_CLUSTER", "mlk8s-test")
    port = int(os.environ.get("MLK8S_TEST_PORT", "18080"))
    os.environ["MLK8S_TEST_CLUSTER"] = f"{name}-{number}" if number else name
    os.environ["MLK8S_TEST_PORT"] = str(port + number * _PORTS)


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[Local]:
    """The process's cluster, with the platform on it."""
    name, port = os.environ["MLK8S_TEST_CLUSTER"], int(os.environ["MLK8S_TEST_PORT"])
    with open_progress() as progress:
        local = native.up(name, port=port, progress=progress, yes=True)
    yield local
    if os.environ.get("MLK8S_KEEP") != "1":
        native.down(name)


@pytest.fixture(scope="module")
def namespace(local_cluster: Local, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace for each test module, deleted after it."""
    yield from fresh_namespace(local_cluster, request.module.__name__)


def fresh_namespace(local: Local, title: str) -> Iterator[str]:
    """Make a namespace, yield its name when controllers have put in it what each has; delete it unwaited."""
    word = re.sub(r"[^a-z0-9]+", "-", title.lower().removeprefix("test_")).strip("-")[:30]
    name = f"{word}-{uuid.uuid4().hex[:5]}"
    api = local.api()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"test": "e2e"}}}
    api.request("POST", "/api/v1/namespaces", body)
    for kind in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):  # no pod before they are there
        wait_for(partial(exists, api, f"/api/v1/namespaces/{name}/{kind}"))
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


def exists(api: Api, path: str) -> bool:
    """Return whether there is an object at a path."""
    try:
        api.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


@pytest.fixture(scope="session")
def python_pods(local_cluster: Local) -> str:
    """Reference of an image with Python in the run's cluster."""
    return python_image(local_cluster)


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Callable[..., Local]]:
    """Make clusters without the platform, by name; every one is removed after the module."""
    made: list[str] = []

    def up(name: str, **options: object) -> Local:
        if name not in made:
            made.append(name)
        return native.up(name, with_platform=False, yes=True, **options)  # type: ignore[arg-type]

    yield up
    for name in made:
        native.down(name)
