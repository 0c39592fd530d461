"""Fixtures of the model server's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import graphs
import pytest
from server_process import Server, place_model


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with a model; ended with the test."""
    started: list[Server] = []

    def start(model: bytes, **env: str) -> Server:
        started.append(Server(place_model(tmp_path, model), **env))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of the model y = 2 x for a whole module, with small limits."""
    models = place_model(tmp_path_factory.mktemp("doubled"), graphs.doubled())
    server = Server(models, MAX_BODY_BYTES="100000", BODY_TIMEOUT_SECONDS="1").ready()
    yield server
    server.close()
