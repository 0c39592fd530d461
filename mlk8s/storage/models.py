"""Models in object storage: ONNX with a manifest that holds the signature and the data version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlk8s.errors import SpecError
from mlk8s.storage.artifacts import publish, read_manifest
from mlk8s.storage.broken import broken_onnx as broken_onnx
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location
from mlk8s.storage.manifest import Manifest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL_FILE = "model.onnx"

# ONNX Runtime's tensor types → datatypes of the Open Inference Protocol v2.
DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class _Serializable(Protocol):
    def SerializeToString(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A published model: its URL, its digest (`sha256:` of the manifest) and its manifest."""

    url: str
    digest: str
    manifest: Manifest = field(repr=False)


def upload_model(
    model: str | Path | bytes | _Serializable,
    url: str,
    *,
    data_version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    config: StorageConfig | None = None,
) -> ModelRef:
    """Publish an ONNX model as an immutable version; the same model twice is no error.

    Args:
        model: an ONNX file, its bytes, or an `onnx.ModelProto`.
        url: where, with name and version: `s3://models/iris/1`.
        data_version: the version of the data set it was trained on.
        metadata: anything worth keeping, of JSON values (scores, parameters).
        exist_ok: accept another model that is there already, instead of raising.
        config: endpoint and keys; None reads the environment.

    Raises:
        SpecError: not an ONNX model, an output that is no tensor, or a malformed URL.
        VersionExists: another model is published under this version.
        StorageError: object storage refused or did not answer.
    """
    place = Location.parse(url)
    if not place.name or not place.parent.name:
        raise SpecError(
            "The URL of a model needs a name and a version.", where=url, expected="s3://BUCKET/NAME/VERSION"
        )
    data = _bytes(model)
    inputs, outputs = signature(
        open_session(data, where=model if isinstance(model, str) else type(model).__name__)
    )
    published = publish(
        place.parent,
        place.name,
        {MODEL_FILE: data},
        format="onnx",
        fields={
            "data_version": data_version,
            "inputs": inputs,
            "outputs": outputs,
            "metadata": dict(metadata or {}),
        },
        exist_ok=exist_ok,
        config=config,
    )
    return ModelRef(published.url, published.manifest.digest, published.manifest)


def read_model(url: str, config: StorageConfig | None = None) -> ModelRef:
    """A published model; raises ObjectNotFound with the versions that are there."""
    manifest = read_manifest(url, config)
    return ModelRef(str(Location.parse(url)), manifest.digest, manifest)


def open_session(
    model: bytes | str, *, where: object, threads: int = 1, gpu: bool = False
) -> InferenceSession:
    """Load an ONNX model (bytes or a file's path), on a GPU where one is asked for and ONNX Runtime has it.

    Raises:
        SpecError: ONNX Runtime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads must not spin: the CPU limit of the pod would pay for it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider") if gpu else ("CPUExecutionProvider",)
    there = onnxruntime.get_available_providers()
    providers = [provider for provider in wanted if provider in there]
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise SpecError(f"ONNX Runtime cannot load the model: {reason}", where=str(where)) from None


def signature(session: InferenceSession) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Inputs and outputs of a model as `{"name", "datatype", "shape"}`; -1 is a free dimension.

    Raises:
        SpecError: one of them is no tensor of a datatype that the protocol knows.
    """
    return [_tensor(node) for node in session.get_inputs()], [_tensor(node) for node in session.get_outputs()]


def _tensor(node: Any) -> dict[str, Any]:
    if node.type not in DATATYPES:
        raise SpecError(
            f"{node.name!r} is of type {node.type}, not a tensor that the Open Inference Protocol can carry.",
            expected="tensors only",
            next_step="export scikit-learn classifiers with options={'zipmap': False}",
        )
    shape = [size if isinstance(size, int) and size >= 0 else -1 for size in node.shape]
    return {"name": node.name, "datatype": DATATYPES[node.type], "shape": shape}


def _bytes(model: str | Path | bytes | _Serializable) -> bytes:
    if isinstance(model, bytes):
        return model
    if isinstance(model, (str, Path)):
        path = Path(model)
        if path.suffix in (".pkl", ".pickle", ".joblib"):
            raise SpecError(
                "Pickles are refused: loading one runs any code that is in it.",
                where=str(path),
                expected="an ONNX model",
                next_step="export it: skl2onnx.to_onnx(model, X, options={'zipmap': False}) for scikit-learn",
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise SpecError(f"The model cannot be read: {error.strerror}.", where=str(path)) from None
    if hasattr(model, "SerializeToString"):
        return model.SerializeToString()
    raise SpecError(
        f"A {type(model).__name__} is no ONNX model.", expected="a path, bytes or an onnx.ModelProto"
    )
