"""Locust as it is: FastHttpUser, for benchmarks/loadgen.py. Prints what it took from first to last user."""

from __future__ import annotations

import json
import os
import sys
from time import process_time

from locust import FastHttpUser, constant, constant_throughput, events, task

BODY = b'{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'
RATE = float(os.environ.get("RATE", "0"))
USERS = int(os.environ.get("USERS", "32"))
took = {"began": 0.0}


class Peer(FastHttpUser):
    wait_time = constant_throughput(RATE / USERS) if RATE else constant(0)

    @task
    def infer(self) -> None:
        self.client.post("/v2/models/m/infer", data=BODY, headers={"Content-Type": "application/json"})


@events.spawning_complete.add_listener
def _begin(**_: object) -> None:
    took["began"] = process_time()


@events.test_stopping.add_listener
def _end(environment: object, **_: object) -> None:
    total = environment.stats.total  # type: ignore[attr-defined]
    said = {
        "cpu": process_time() - took["began"],
        "requests": total.num_requests,
        "p99": total.get_response_time_percentile(0.99) / 1000 if total.num_requests else None,
    }
    sys.stdout.write(f"PEER {json.dumps(said)}\n")
    sys.stdout.flush()
