"""The V2 client and the background client against the real model server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from model_server import ModelServer
from onnx_models import ROW, broken, scaling, two_inputs

from mlk8s.clients.background import BackgroundClient
from mlk8s.clients.inference import Inference
from mlk8s.errors import Mlk8sError, NotFound, PredictionFailed, Unreachable, UsageError, WaitTimeout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    running = ModelServer(tmp_path_factory.mktemp("scale"), scaling(2.0), version="7").start()
    yield running
    running.stop()


@pytest.fixture
def client(server: ModelServer) -> Iterator[Inference]:
    made = Inference(server.url)
    yield made
    made.close()


def test_health_and_metadata(client: Inference) -> None:
    assert client.live() and client.ready()
    assert client.server_metadata()["name"] == "mlk8s"
    model = client.model()
    assert (model.name, model.versions) == ("scale", ("7",))
    assert [str(item) for item in model.inputs] == ["x FP32[-1, 4]"]


def test_rows_go_to_the_only_input(client: Inference) -> None:
    prediction = client.infer([ROW, ROW])
    assert prediction["y"].dtype == np.float32
    np.testing.assert_array_equal(prediction["y"], 2 * np.array([ROW, ROW], dtype=np.float32))
    assert prediction.model_version == "7"
    assert 0 < prediction.latency < 5


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_arrays_come_back_as_they_went(client: Inference, batch: int) -> None:
    rows = np.random.default_rng(batch).normal(size=(batch, 4)).astype(np.float32)
    np.testing.assert_array_equal(client.infer({"x": rows})["y"], rows * np.float32(2))


def test_asking_for_a_version(client: Inference) -> None:
    assert client.infer([ROW], version="7").model_version == "7"
    with pytest.raises(NotFound, match="version '8' is not served here"):
        client.infer([ROW], version="8")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (ROW, r"shape \[4\].*\n.*\n.*wrap it in a list"),
        ([[1.0, 2.0]], r"shape \[1, 2\]"),
        ([["a", "b", "c", "d"]], "no array of FP32"),
        ([[1.0, 2.0, float("nan"), 4.0]], r"holds nan at \[0, 2\]"),
        ([[1e300, 2.0, 3.0, 4.0]], "no array of FP32"),
        ([[1.0, 2.0], [3.0]], "no array of FP32"),
        ({"z": [ROW]}, "inputs z were given"),
        ({}, "inputs none were given"),
    ],
)
def test_wrong_inputs_are_told_before_anything_is_sent(client: Inference, inputs: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        client.infer(inputs)  # type: ignore[arg-type]


def test_the_servers_own_refusal_is_told(client: Inference) -> None:
    assert client.request("POST", "/v2/models/scale/infer", body=b"{").status == 400
    client._metadata = None
    with pytest.raises(NotFound, match="model 'other' is unknown"):
        Inference(client.url, model="other").infer([ROW])


def test_several_inputs_need_their_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = ModelServer(tmp_path_factory.mktemp("two"), two_inputs(), name="two").start()
    try:
        client = Inference(running.url + "/v2/")
        with pytest.raises(UsageError, match="has 2 inputs"):
            client.infer([1.0])
        with pytest.raises(UsageError, match="fractions do not fit"):
            client.infer({"a": [1.0], "b": [1.5]})
        prediction = client.infer({"a": [1.5, 2.5], "b": [1, 2]})
        np.testing.assert_array_equal(prediction["sum"], np.array([2.5, 4.5], dtype=np.float32))
        client.close()
    finally:
        running.stop()


def test_a_model_that_fails_is_told_with_its_version(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = ModelServer(tmp_path_factory.mktemp("bad"), broken(), version="3").start()
    try:
        client = Inference(running.url)
        with pytest.raises(PredictionFailed, match="version 3 answered 500") as told:
            client.infer([ROW])
        assert (told.value.status, told.value.model_version) == (500, "3")
        with BackgroundClient(client, [ROW], rps=50) as background:
            _wait_for(background, 5)
        assert background.summary().failed == len(background.records)
        assert background.failures(exclude_version="3") == ()
        assert len(background.failures(exclude_version="2")) == len(background.records)
        client.close()
    finally:
        running.stop()


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = Inference(f"http://127.0.0.1:{probe.getsockname()[1]}/shop/scale")
        with pytest.raises(Unreachable, match="refused"):
            client.ready()
        client.close()


def test_no_answer_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Inference(f"http://127.0.0.1:{silent.getsockname()[1]}/shop/scale", timeout=0.2)
        with pytest.raises(WaitTimeout):
            client.ready()
        client.close()


def test_an_address_that_is_none() -> None:
    with pytest.raises(UsageError, match="not an HTTP address"):
        Inference("localhost:8080/shop/scale")


def test_background_client_counts_and_keeps_its_rate(client: Inference) -> None:
    with BackgroundClient(client, [ROW], rps=50) as background:
        _wait_for(background, 50)
    summary = background.summary()
    assert summary.failed == 0 and background.failures() == ()
    assert summary.versions == {"7": summary.requests}
    assert summary.requests / summary.seconds < 50 * 1.2
    assert summary.p50 is not None and summary.p99 is not None and summary.p50 <= summary.p99
    assert "0 failed" in str(summary) and "by version 7" in str(summary)


def test_background_client_sees_an_outage(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = ModelServer(tmp_path_factory.mktemp("gone"), scaling(1.0)).start()
    client = Inference(running.url)
    try:
        with BackgroundClient(client, [ROW], rps=50) as background:
            _wait_for(background, 5)
            running.stop()
            _wait_for(background, len(background.records) + 3)
            running.start()
            _wait_for(background, len(background.records) + 10)
    finally:
        running.stop()
        client.close()
    failures = background.failures()
    assert any(item.status == 0 and item.version is None for item in failures)
    # A server that is starting answers already, and says that its model is loading.
    assert {item.status for item in failures} <= {0, 503}
    assert not background.records[-1].error, "it goes on when the server is back"


def test_background_client_is_bounded_and_stays_at_home(client: Inference) -> None:
    for rate in (0, 51):
        with pytest.raises(UsageError, match="rps is"):
            BackgroundClient(client, [ROW], rps=rate)
    away = Inference("http://192.0.2.1/shop/scale")
    with pytest.raises(Mlk8sError, match=r"load is not sent to 192\.0\.2\.1"):
        BackgroundClient(away, [ROW])


def test_one_client_in_many_threads(client: Inference) -> None:
    wrong: list[object] = []

    def ask(number: float) -> None:
        for _ in range(20):
            answer = client.infer([[number] * 4])["y"]
            if not np.all(answer == 2 * number):
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(float(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _wait_for(background: BackgroundClient, count: int) -> None:
    done = threading.Event()
    for _ in range(600):
        if len(background.records) >= count:
            return
        done.wait(0.05)
    raise AssertionError(f"{len(background.records)} of {count} requests after 30 s")
