"""The pod's process, as Kubernetes starts it, against a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from s3 import S3

from mlk8s.pipeline.__main__ import main
from mlk8s.storage.artifacts import versions
from mlk8s.storage.datasets import read_dataset
from mlk8s.storage.store import Store

FEATURES = Path(__file__).parents[2] / "notebooks" / "features.py"


class Pod:
    """Runs `python -m mlk8s.pipeline` with a source and an environment."""

    def __init__(self, tmp_path: Path, s3: S3) -> None:
        self.output = f"s3://{s3.bucket()}/data"
        self.source, self.termination = tmp_path / "source.py", tmp_path / "termination"
        self.termination.write_text("")
        self.config = s3.config
        self._env = {**os.environ, **s3.env, "TERMINATION_LOG": str(self.termination)}

    def start(self, source: str | Path, **env: str) -> subprocess.Popen[str]:
        if isinstance(source, str):
            self.source.write_text(source)
        path = str(self.source if isinstance(source, str) else source)
        paths = {"PIPELINE_SOURCE": path, "PIPELINE_OUTPUT": self.output, "PIPELINE_VERSION": "1"}
        command, pipe = [sys.executable, "-m", "mlk8s.pipeline"], subprocess.PIPE
        return subprocess.Popen(
            command, text=True, stdout=pipe, stderr=pipe, env={**self._env, **paths, **env}
        )

    def main(self, source: str, monkeypatch: pytest.MonkeyPatch) -> int:
        """In this process, which is quicker."""
        self.source.write_text(source)
        paths = {"PIPELINE_SOURCE": str(self.source), "PIPELINE_OUTPUT": self.output, "PIPELINE_VERSION": "1"}
        for name, value in {**self._env, **paths}.items():
            monkeypatch.setenv(name, value)
        before = signal.getsignal(signal.SIGTERM)
        try:
            return main()
        finally:
            signal.signal(signal.SIGTERM, before)

    def run(self, source: str | Path, **env: str) -> tuple[int, str, str]:
        process = self.start(source, **env)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err


@pytest.fixture
def pod(tmp_path: Path, s3: S3) -> Pod:
    return Pod(tmp_path, s3)


def test_the_digits_features_are_published_and_read_back(pod: Pod) -> None:
    code, out, err = pod.run(FEATURES, PIPELINE_VERSION="", JOB_NAME="digits-29924460")
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])
    assert told["version"] == "20261123T210000Z" and told["rows"] == 1797 and told["columns"] == 100
    assert json.loads(pod.termination.read_text()) == told
    dataset = read_dataset(pod.output, config=pod.config)
    assert dataset.manifest.digest == told["digest"] and dataset.table.num_rows == 1797
    assert set(dataset.table["label"].to_pylist()) == set(range(10))


def test_the_same_content_again_is_no_error(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for event in ("published", "published_before"):
        assert pod.main("def build(): return {'a': [1]}", monkeypatch) == 0
        told = json.loads(pod.termination.read_text())
        assert told["event"] == event
        digests.add(told["digest"])
    assert len(digests) == 1


def test_parameters_reach_the_function(pod: Pod) -> None:
    source = "def rows(n, word):\n    return {'word': [word] * n}\n"
    code, _, err = pod.run(source, PIPELINE_ENTRY="rows", PIPELINE_PARAMETERS='{"n": 3, "word": "hi"}')
    assert code == 0, err
    assert read_dataset(pod.output, "1", config=pod.config).table.to_pydict() == {"word": ["hi"] * 3}


def test_another_content_of_a_version_is_no_retry(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pod.main("def build(): return {'a': [1]}", monkeypatch) == 0
    assert pod.main("def build(): return {'a': [2]}", monkeypatch) == 64
    assert "with other content" in capsys.readouterr().err
    assert read_dataset(pod.output, "1", config=pod.config).table.to_pydict() == {"a": [1]}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def build():\n    return 1 / 0\n", ["ZeroDivisionError", "source.py:2 in build: return 1 / 0"]),
        ("import json\ndef build():\n    return json.loads('{')\n", ["JSONDecodeError", "source.py:3"]),
        ("def build(:\n", ["SyntaxError", "source.py:1"]),
        ("import no_such_module\n", ["ModuleNotFoundError", "source.py:1"]),
        ("raise SystemExit(0)\n", ["SystemExit"]),
        ("def other(): ...\n", ["no function 'build'", "other"]),
        ("def build(n): ...\n", ["missing 1 required positional argument"]),
        ("def build(): return {}\n", ["is empty"]),
        ("def build(): return {'a': []}\n", ["is empty"]),
        ("def build(): return {'a': [1], 'b': [1, 2]}\n", ["no table"]),
        ("import numpy\ndef build(): return {'a': numpy.zeros((2, 2))}\n", ["shape [2, 2]"]),
        ("import pyarrow\ndef build(): return pyarrow.table([[1], [2]], ['a', 'a'])\n", ["share a name: a"]),
        ("def build(): return 'text'\n", ["returned a str"]),
    ],
)
def test_errors_of_the_user_are_told_with_the_users_lines_and_end_in_64(
    pod: Pod,
    source: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pod.main(source, monkeypatch) == 64
    err = capsys.readouterr().err
    for word in words:
        assert word in err
        assert word in pod.termination.read_text()
    assert "Traceback" not in err and "mlk8s/pipeline" not in err
    assert versions(pod.output, pod.config) == []


def test_refused_storage_may_be_tried_again(pod: Pod) -> None:
    code, _, err = pod.run("def build(): return {'a': [1]}", STORAGE_ENDPOINT="http://127.0.0.1:9")
    assert code == 1 and "127.0.0.1:9" in err and "Traceback" not in err


def test_sigterm_before_the_commit_leaves_nothing(pod: Pod) -> None:
    source = """
import signal, os, threading, time
from mlk8s.storage.store import Store
whole = Store.put
def put(self, key, data):
    whole(self, key, data)
    print("uploaded", flush=True)
    time.sleep(30)
Store.put = put
def build(): return {'a': [1]}
"""
    process = pod.start(source)
    assert process.stdout and process.stdout.readline() == "uploaded\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 143
    assert time.monotonic() - started < 25, "the sleep above is ended, not waited for"
    assert "Traceback" not in err
    assert Store(pod.output, pod.config).objects() == []
