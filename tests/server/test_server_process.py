"""The process: models that fail, load, limits, metrics, the end, and starts that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from server_process import Server, place_model, tensor

from mlk8s.storage.broken import broken_onnx

FOUR = [1.0, 2.0, 3.0, 4.5]
Serve = Callable[..., Server]


def test_a_model_that_fails_at_run_time_answers_500_and_the_server_lives(serve: Serve) -> None:
    server = serve(graphs.broken()).ready()
    assert server.get("/v2/health/ready")[0] == 200
    status, document = server.infer(tensor(FOUR, [1, 4]))
    assert status == 500 and "model 'iris' version '1' failed" in document["error"]
    assert server.event("warm_up_failed")["error"]
    assert server.metric('http_server_request_duration_seconds_count{code="500"') == 1


def test_the_quickstarts_broken_model_promises_a_classifier_and_fails(serve: Serve) -> None:
    server = serve(broken_onnx(4, classes=3)).ready()
    _, document = server.get("/v2/models/iris")
    assert document["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]
    assert [tuple(t.values()) for t in document["outputs"]] == [
        ("label", "INT64", [-1]),
        ("probabilities", "FP32", [-1, 3]),
    ]
    for _ in range(3):
        assert server.infer(tensor(FOUR, [1, 4], name="X"))[0] == 500
    assert server.get("/v2/health/ready")[0] == 200


def test_a_model_of_another_width_than_the_data_fails_at_run_time(serve: Serve) -> None:
    """Trained on one feature more than the service gets, and exported without a width."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, (x[:, 0] > 0).astype(int))
    exported = to_onnx(
        fitted,
        initial_types=[("x", FloatTensorType([None, None]))],
        options={"zipmap": False},
        target_opset=17,
    )
    server = serve(exported.SerializeToString()).ready()
    status, document = server.infer(tensor(FOUR, [1, 4]))
    assert status == 500 and "failed" in document["error"]
    assert server.infer(tensor([*FOUR, 1.0], [1, 5]))[0] == 200


def test_nan_in_an_output_is_no_silent_null(serve: Serve) -> None:
    server = serve(graphs.logarithm()).ready()
    status, document = server.infer(tensor([1.0, -1.0], [2]))
    assert status == 500 and "NaN or infinity" in document["error"]
    assert server.infer(tensor([1.0], [1]))[1]["outputs"][0]["data"] == [0.0]


def test_probes_answer_while_the_model_works_and_in_flight_is_counted(serve: Serve) -> None:
    server = serve(graphs.slow(times=30)).ready()
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.infer, tensor(FOUR, [1, 4])) for _ in range(8)]
        time.sleep(0.1)
        seen = server.metric("requests_in_flight{")
        probe = time.monotonic()
        assert server.get("/v2/health/ready")[0] == 200
        probe = time.monotonic() - probe
        assert [answer.result()[0] for answer in answers] == [200] * 8
    elapsed = time.monotonic() - started
    assert 2 <= seen <= 8
    assert probe < 1
    integral = server.metric("requests_in_flight_seconds_total")
    total = server.metric("http_server_request_duration_seconds_sum")
    assert 0 < integral <= 8 * elapsed
    # Little's law: the time integral of the number in flight is the sum of the times in the system.
    assert integral == pytest.approx(total, rel=0.1)
    assert server.metric("model_infer_duration_seconds_count") == 8
    assert server.metric("requests_in_flight{") == 0


def test_too_many_requests_are_503_with_retry_after(serve: Serve) -> None:
    server = serve(graphs.slow(times=30), MAX_IN_FLIGHT="2").ready()
    body = json.dumps(tensor(FOUR, [1, 4]))

    def ask(_: int) -> tuple[int, str | None]:
        answer = server.http.request("POST", f"{server.url}/v2/models/iris/infer", body=body)
        return answer.status, answer.headers.get("Retry-After")

    with ThreadPoolExecutor(10) as pool:
        answers = Counter(pool.map(ask, range(10)))
    assert set(answers) == {(200, None), (503, "1")}
    assert answers[200, None] >= 2
    assert ask(0) == (200, None)


def test_sigterm_under_load_drops_nothing(serve: Serve) -> None:
    """50 requests in flight, and clients that go on asking until the pod says that it is not ready."""
    server = serve(graphs.slow(size=256, times=60), DRAIN_SECONDS="1.5").ready()
    codes: Counter[object] = Counter()
    lock, stop = threading.Lock(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                code: object = server.infer(tensor(FOUR, [1, 4]))[0]
            except Exception as error:
                code = repr(error)
            with lock:
                codes[code] += 1

    clients = [threading.Thread(target=ask) for _ in range(50)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 20
    while server.metric("requests_in_flight{") < 49 and time.monotonic() < deadline:
        time.sleep(0.05)
    server.process.terminate()
    assert server.event("draining")["in_flight"] >= 40
    ready, _ = server.get("/v2/health/ready")
    assert ready == 503
    stop.set()  # as a Service does with a pod that is not ready: nothing new, but what is on the way arrives
    for client in clients:
        client.join()
    assert server.process.wait(30) == 0
    assert set(codes) == {200} and codes[200] >= 50
    assert server.event("stopped")["in_flight"] == 0


def test_it_is_ready_soon(serve: Serve) -> None:
    server = serve(graphs.doubled()).ready()
    assert server.event("ready")["start_seconds"] > 0


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PORT": "eighty"}, "PORT is 'eighty'"),
        ({"PORT": "70000"}, "0 to 65535"),
        ({"BASE_PATH": "no-slash"}, "BASE_PATH is 'no-slash'"),
        ({"MAX_IN_FLIGHT": "0"}, "MAX_IN_FLIGHT is '0'"),
        ({"ACCESS_LOG": "maybe"}, "true or false"),
        ({"ALLOW_PICKLE": "true"}, "ONNX models only"),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(tmp_path: Path, env: dict[str, str], words: str) -> None:
    code, err, _ = run_server(tmp_path, env)
    assert code == 2 and words in err and err.count("\n") == 1


def run_server(tmp_path: Path, env: dict[str, str]) -> tuple[int, str, str]:
    message = tmp_path / "termination"
    message.write_text("")
    settings = {"MODEL_DIR": str(tmp_path), "HOST": "127.0.0.1", "PORT": "0", "TERMINATION_LOG": str(message)}
    ended = subprocess.run(
        [sys.executable, "-m", "mlk8s.server"], env={**os.environ, **settings, **env}, text=True,
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert ended.stdout == ""
    return ended.returncode, ended.stderr, message.read_text()


def test_no_model_is_one_line_and_exit_1(tmp_path: Path) -> None:
    code, err, message = run_server(tmp_path, {"MODEL_DIR": str(tmp_path / "none")})
    assert code == 1 and "manifest.json" in err and err.count("\n") == 1 and message == err.strip()


def test_a_file_that_is_no_model_ends_the_server(tmp_path: Path) -> None:
    models = place_model(tmp_path, graphs.doubled())
    (models / "model.onnx").write_bytes(b"not a model")
    code, err, message = run_server(tmp_path, {"MODEL_DIR": str(models)})
    assert code == 1 and "ONNX Runtime cannot load the model" in err and "cannot load" in message
    assert "Traceback" not in err


def test_another_format_than_onnx_is_refused(tmp_path: Path) -> None:
    models = place_model(tmp_path, graphs.doubled())
    manifest: dict[str, Any] = json.loads((models / "manifest.json").read_text())
    (models / "manifest.json").write_text(json.dumps({**manifest, "format": "pickle"}))
    code, err, _ = run_server(tmp_path, {"MODEL_DIR": str(models)})
    assert code == 1 and "loading a pickle would run its code" in err


def test_a_port_in_use_is_told(serve: Serve, tmp_path: Path) -> None:
    server = serve(graphs.doubled()).ready()
    port = server.url.rsplit(":", 1)[1]
    code, err, _ = run_server(tmp_path, {"MODEL_DIR": str(tmp_path / "models"), "PORT": port})
    assert code == 2 and f"127.0.0.1:{port}" in err and "Traceback" not in err
