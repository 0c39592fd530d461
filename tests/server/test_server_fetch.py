"""The init container's process against a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import graphs
import pytest
from s3 import S3

from mlk8s.errors import SpecError
from mlk8s.storage.artifacts import VersionExists
from mlk8s.storage.models import ModelRef, read_model, upload_model
from mlk8s.storage.store import Store


@pytest.fixture
def model(s3: S3) -> ModelRef:
    return upload_model(graphs.doubled(), f"s3://{s3.bucket()}/iris/1", data_version="d1", config=s3.config)


def fetch(tmp_path: Path, s3: S3, model: ModelRef, **env: str) -> tuple[int, str, str]:
    message = tmp_path / "termination"
    message.write_text("")
    settings = {
        "MODEL_URL": model.url,
        "MODEL_DIR": str(tmp_path / "models"),
        "TERMINATION_LOG": str(message),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "mlk8s.server.fetch"], env={**os.environ, **s3.env, **settings, **env},
        text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert message.read_text() == ended.stderr.strip()
    return ended.returncode, ended.stdout, ended.stderr


def test_the_model_arrives_with_its_manifest(tmp_path: Path, s3: S3, model: ModelRef) -> None:
    code, out, err = fetch(tmp_path, s3, model, MODEL_DIGEST=model.digest)
    assert code == 0, err
    assert json.loads(out)["digest"] == model.digest
    assert (tmp_path / "models" / "model.onnx").read_bytes() == graphs.doubled()
    assert fetch(tmp_path, s3, model)[0] == 0, "a restarted init container does it again"


def failures(tmp_path: Path) -> dict[str, tuple[dict[str, str], str]]:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "access-key-id").write_text("nobody")
    (wrong / "secret-access-key").write_text("nothing")
    return {
        "refused": (
            {"STORAGE_ENDPOINT": "http://127.0.0.1:9"},
            "refuses connections; where: http://127.0.0.1:9",
        ),
        "credentials": ({"STORAGE_CREDENTIALS_DIR": str(wrong)}, "the access key is unknown"),
        "no credentials": ({"STORAGE_CREDENTIALS_DIR": "/none"}, "/none/access-key-id"),
        "no model": ({"MODEL_URL": "s3://nothing-here/iris/1"}, "no version '1'"),
        "digest": ({"MODEL_DIGEST": "sha256:" + "0" * 64}, "another one"),
    }


@pytest.mark.parametrize("case", ["refused", "credentials", "no credentials", "no model", "digest"])
def test_what_goes_wrong_is_one_line_and_exit_1(tmp_path: Path, s3: S3, model: ModelRef, case: str) -> None:
    env, words = failures(tmp_path)[case]
    code, _, err = fetch(tmp_path, s3, model, **env)
    assert code == 1 and words in err
    assert err.count("\n") == 1 and "nothing" not in err.replace("nothing-here", "")
    assert not (tmp_path / "models" / "manifest.json").exists()


def test_a_model_that_was_changed_in_storage_is_refused(tmp_path: Path, s3: S3, model: ModelRef) -> None:
    Store(model.url, s3.config).put(model.manifest.key(model.manifest.files[0]), graphs.broken())
    code, _, err = fetch(tmp_path, s3, model)
    assert code == 1 and "model.onnx is not the file that was published" in err
    assert list((tmp_path / "models").iterdir()) == []


def test_without_a_url_it_says_what_is_missing(tmp_path: Path, s3: S3, model: ModelRef) -> None:
    code, _, err = fetch(tmp_path, s3, model, MODEL_URL="")
    assert code == 2 and "MODEL_URL is not set" in err


def test_a_model_is_read_back_and_its_version_never_changes(s3: S3, model: ModelRef) -> None:
    assert read_model(model.url, s3.config) == model
    assert upload_model(graphs.doubled(), model.url, config=s3.config) == model
    with pytest.raises(VersionExists):
        upload_model(graphs.broken(), model.url, config=s3.config)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"nonsense", "cannot load"), ("model.pkl", "Pickles are refused"), ("/none.onnx", "No such file")],
)  # fmt: skip
def test_what_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes | str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        upload_model(content, str(tmp_path / "iris" / "1"))


def test_a_model_whose_output_is_no_tensor_says_how_to_export(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    exported = to_onnx(LogisticRegression(max_iter=500).fit(x, y), x[:1].astype("float32"), target_opset=17)
    with pytest.raises(SpecError, match="zipmap"):
        upload_model(exported, str(tmp_path / "iris" / "1"))
