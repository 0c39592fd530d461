"""A Locust file for a journey of your own: copy it, change the task, run it by hand or with the web UI.

    BODY=body.json locust -f loadtests/v2_infer.py --host http://127.0.0.1:8080/quickstart/digits \
        --headless --users 4 --run-time 30s

`mlk8s loadtest` needs no such file: it brings its own, keeps latencies and watches the replicas. This one is
for journeys that it does not know, such as several requests in a row. Load goes to loopback only.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from locust import FastHttpUser, constant, task

from mlk8s.loadgen.answer import classify, rows_of
from mlk8s.loadgen.guard import check_target


class Journey(FastHttpUser):
    """Looks at the model once, then asks it again and again, half a second after each answer."""

    wait_time = constant(0.5)
    network_timeout = 10.0
    connection_timeout = 5.0

    def on_start(self) -> None:
        check_target(self.host)
        self.body = Path(os.environ["BODY"]).read_bytes()
        self.rows = rows_of(self.body)
        name = os.environ.get("MODEL", urlsplit(self.host).path.rstrip("/").rpartition("/")[2])
        self.model = f"/v2/models/{name}"
        self.client.get(self.model, name="model", allow_redirects=False)

    @task
    def infer(self) -> None:
        with self.client.post(
            f"{self.model}/infer",
            data=self.body,
            headers={"Content-Type": "application/json"},
            name="infer",
            catch_response=True,
            allow_redirects=False,
        ) as response:
            if response.status_code:
                outcome = classify(response.status_code, response.content, self.rows)
                if outcome != "ok":
                    response.failure(outcome)
