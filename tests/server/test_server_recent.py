"""The ring of last predictions: off until it is read, bounded, without inputs, for the pod itself only."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import orjson
import pytest
from server_process import Server, place_model, tensor

from mlk8s.server.protocol import InferRequest
from mlk8s.server.recent import FAILED, Recent, Wanted, text_of

ROW = [1.0, 2.0, 3.0, 4.26]


def asked(name: str | None, *slices: str) -> InferRequest:
    return InferRequest(name, {}, (), slices)


def answer(*values: float) -> dict[str, Any]:
    return {"y": np.array(values, np.float32)}


def test_nothing_is_kept_before_the_first_read() -> None:
    recent = Recent()
    recent.note(b"{}", None, asked("a"), answer(1))
    assert recent.read(0, 30, Wanted())["answers"] == []
    recent.note(b"{}", None, asked("a", "country=DE"), answer(1.5))
    found = recent.read(0, 30, Wanted())
    ((name, _, value, slices),) = found["answers"]
    assert (name, value, slices) == ("a", "1.5", ("country=DE",))
    assert (found["next"], found["lost"], found["more"]) == (1, 0, False)
    assert recent.read(1, 30, Wanted())["answers"] == [], "it goes on from a number"


def test_what_nobody_reads_any_more_is_forgotten() -> None:
    recent = Recent()
    recent.read(0, 30, Wanted())
    recent.note(b"{}", None, asked("a"), answer(1))
    left = recent.expire()
    assert left is not None
    assert left > 0
    recent.read(0, 0, Wanted())
    assert recent.expire() is None
    assert recent.read(0, 30, Wanted())["answers"] == []


def test_other_words_for_an_answer_forget_those_before() -> None:
    recent = Recent()
    recent.read(0, 30, Wanted())
    recent.note(b"{}", None, asked("a"), answer(1.26))
    assert recent.read(0, 30, Wanted(digits=1))["answers"] == []
    recent.note(b"{}", None, asked("b"), answer(1.26))
    assert recent.read(0, 30, Wanted(digits=1))["answers"][0][2] == "1.3"


def test_the_ring_is_bounded_in_bytes_and_counts_what_it_lost() -> None:
    recent = Recent(limit=5_000)
    recent.read(0, 30, Wanted())
    for number in range(100):
        recent.note(b"{}", None, asked(f"request-{number}"), answer(number))
    found = recent.read(0, 30, Wanted())
    assert 10 <= len(found["answers"]) <= 16
    assert found["lost"] == 100 - len(found["answers"])
    assert found["answers"][-1][0] == "request-99", "the oldest go first"


def test_pages_join_without_a_gap() -> None:
    recent = Recent()
    recent.read(0, 30, Wanted())
    for number in range(4_500):
        recent.note(b"{}", None, asked(str(number)), answer(1))
    names, after, more = [], 0, True
    while more:
        page = recent.read(after, 30, Wanted())
        names += [item[0] for item in page["answers"]]
        after, more = page["next"], page["more"]
    assert names == [str(number) for number in range(4_500)]


def test_an_id_comes_from_the_protocol_then_the_header_then_the_body() -> None:
    recent = Recent()
    recent.read(0, 30, Wanted())
    recent.note(b"{}", "header", asked("own"), answer(1))
    recent.note(b"{}", "header", asked(None), answer(1))
    recent.note(b"{}", None, asked(None), answer(1))
    recent.note(b'{"id": "refused"}', None, None, None)
    recent.note(b"{}", None, asked("x" * 1_000), answer(1))
    names = [item[0] for item in recent.read(0, 30, Wanted())["answers"]]
    assert names[:2] == ["own", "header"]
    assert names[2].startswith("body:")
    assert names[3] == "refused"
    assert names[4].startswith("long:")
    assert len(names[4]) < 64


@pytest.mark.parametrize(
    ("arrays", "wanted", "text"),
    [
        ({"label": np.array([3])}, Wanted(), "3"),
        ({"label": np.array(["cat"], object)}, Wanted(), '"cat"'),
        ({"label": np.array([b"cat"], object)}, Wanted(), '"cat"'),
        ({"y": np.array([[0.1, -0.0001]], np.float32)}, Wanted(digits=2), "[0.1,0.0]"),
        ({"b": np.array([1]), "a": np.array([True])}, Wanted(), '{"a":true,"b":1}'),
        ({"b": np.array([1]), "a": np.array([True])}, Wanted(output="b"), "1"),
        ({"b": np.array([1])}, Wanted(output="a"), None),
        ({"y": np.array([np.nan])}, Wanted(digits=3), "null"),
    ],
)  # fmt: skip
def test_answers_as_text(arrays: dict[str, Any], wanted: Wanted, text: str | None) -> None:
    assert text_of(arrays, wanted) == text


def test_a_long_answer_is_a_digest_that_sees_every_number() -> None:
    first = np.arange(1_000, dtype=np.float32)
    second = first.copy()
    second[777] += 1
    texts = [text_of({"y": one}, Wanted(digits=3)) for one in (first, first.copy(), second)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] is not None
    assert texts[0].startswith("digest:")


def test_a_server_tells_ids_answers_and_slices_and_no_inputs(doubled: Server) -> None:
    assert doubled.get("/recent?round=1")[1]["answers"] == []
    body = {**tensor(ROW, [1, 4]), "id": "q1", "parameters": {"slices": "country=DE, device=phone"}}
    assert doubled.infer(body)[0] == 200
    assert doubled.infer({**tensor([1.0], [1, 1]), "id": "q2"})[0] == 400
    status, found = doubled.get("/recent?round=1")
    assert (status, found["version"]) == (200, "1")
    kept = [[name, value, slices] for name, _, value, slices in found["answers"]]
    assert kept == [["q1", "[2.0,4.0,6.0,8.5]", ["country=DE", "device=phone"]], ["q2", FAILED, []]]
    assert b"4.26" not in orjson.dumps(found)
    assert doubled.get("/recent?after=x")[0] == 400
    assert doubled.get("/team/iris/recent")[0] == 404


@pytest.mark.parametrize("slices", [5, ["a"], "", " , "])
def test_slices_of_any_shape_never_make_a_request_fail(doubled: Server, slices: Any) -> None:
    assert doubled.infer({**tensor(ROW, [1, 4]), "parameters": {"slices": slices}})[0] == 200


def test_a_model_that_fails_is_told(serve: Any) -> None:
    server = serve(graphs.broken()).ready()
    server.get("/recent")
    assert server.infer({**tensor(ROW, [1, 4]), "id": "q1"})[0] == 500
    assert [item[2] for item in server.get("/recent")[1]["answers"]] == [FAILED]


def test_who_comes_over_the_network_finds_nothing(tmp_path: Path) -> None:
    own = outside_address()
    server = Server(place_model(tmp_path, graphs.doubled()), HOST="0.0.0.0").ready()
    try:
        port = server.url.rpartition(":")[2]
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            answer = server.http.request("GET", f"http://{own}:{port}/recent", headers=headers)
            assert answer.status == 404
            assert json.loads(answer.data)["error"]
    finally:
        server.close()


def outside_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])
