"""A load test of a server of this machine, without a cluster: what `loadtest` does, but for the sampling."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from mlk8s.clients.clock import Clock
from mlk8s.clients.locust import LocustProcess
from mlk8s.loadgen.settings import Settings
from mlk8s.operations.drive import drive
from mlk8s.operations.live import choose
from mlk8s.operations.run import FACTS, PROFILE, Run
from mlk8s.spec.load import LoadProfile


def load(url: str, directory: Path, profile: LoadProfile, live: Any = None, behaviour: str = "right") -> Run:
    """Send `profile` to the test server at `url` and show it; return the run, also of a test cut short."""
    directory.mkdir()
    (directory / "body.json").write_text(json.dumps({"inputs": [{"name": "x", "shape": [2, 1]}]}))
    (directory / PROFILE).write_text(json.dumps(profile.model_dump()))
    settings = Settings(
        url=url, path=f"/{behaviour}/v2/models/m/infer", name="m", body="body.json",
        stages=[stage.model_dump() for stage in profile.stages], timeout=profile.timeout,
        connections=profile.most_connections, allowed=[], parent=os.getpid(), directory=directory,
        stop_above=profile.stop_above,
    )  # fmt: skip
    clock = Clock()
    facts: dict[str, Any] = {
        "target": {"name": "m", "namespace": "-", "url": url, "model": None},
        "cluster": {"server": "-", "context": "-"},
        "versions": {}, "machine": "this one", "slo": None, "settle": 0.0, "started": clock.now(),
    }  # fmt: skip
    view, run = choose(live)(profile, "m"), None
    try:
        facts["cut"] = drive(
            partial(LocustProcess, settings), directory, profile, settle=0.0, clock=clock, view=view,
            on_tick=None, say=print, facts=facts,
        )  # fmt: skip
        facts["ended"] = clock.now()
        (directory / FACTS).write_text(json.dumps(facts))
        run = Run.open(directory)
    finally:
        view.end(run)
    assert run is not None
    return run
