"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from s3 import S3, SeaweedFS

# A run in the background has SIGINT ignored, and every process that a test interrupts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failed property.
settings.register_profile("mlk8s", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mlk8s")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A SeaweedFS of this test run."""
    server = SeaweedFS(tmp_path_factory.mktemp("seaweedfs"))
    try:
        yield server.start()
    finally:
        server.stop()
