"""The model of this pod: its manifest, and ONNX Runtime behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s.errors import SpecError, StorageError
from mlk8s.storage.manifest import MANIFEST, Manifest
from mlk8s.storage.models import MODEL_FILE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from mlk8s.server.protocol import Signature
    from mlk8s.server.tensors import Array, TensorSpec


class ModelFailedError(RuntimeError):
    """The model itself failed on a valid request."""


class Model:
    """A loaded model; `run` may be called from several threads at once."""

    def __init__(self, session: InferenceSession, signature: Signature) -> None:
        self._session = session
        self.signature = signature
        self.provider = session.get_providers()[0]
        self.warm_up_error: str | None = None

    @classmethod
    def load(cls, directory: Path, *, threads: int) -> Model:
        """Load the model and run it once on zeros, so that the first request finds it warm.

        Raises:
            SpecError: ONNX Runtime cannot load it, or it is no model of tensors.
        """
        from mlk8s.server.protocol import Signature
        from mlk8s.server.tensors import TensorSpec
        from mlk8s.storage.models import open_session, signature

        path = directory / MODEL_FILE
        session = open_session(str(path), where=path, threads=threads, gpu=True)
        taken, given = (
            tuple(TensorSpec(t["name"], t["datatype"], tuple(t["shape"])) for t in tensors)
            for tensors in signature(session)
        )
        model = cls(session, Signature(taken, given))
        model._warm_up()
        return model

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Outputs by name; raises ModelFailedError with ONNX Runtime's first line."""
        try:
            values = self._session.run(list(outputs), dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelFailedError(lines[0][:300]) from None
        return dict(zip(outputs, values, strict=True))

    def _warm_up(self) -> None:
        """A model may fail on zeros and be right on real input: what it says is for the requests to tell."""
        try:
            self.run(
                {s.name: _zeros(s) for s in self.signature.inputs}, [s.name for s in self.signature.outputs]
            )
        except ModelFailedError as error:
            self.warm_up_error = str(error)


def read_manifest(directory: Path) -> Manifest:
    """The manifest that the init container left.

    Raises:
        StorageError: there is none, or it cannot be read.
        SpecError: not an ONNX model.
    """
    path = directory / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"The model cannot be read: {error.strerror}.",
            where=str(path),
            expected="manifest.json and model.onnx, as mlk8s.server.fetch leaves them",
        ) from None
    manifest = Manifest.parse(raw, str(path))
    if manifest.format != "onnx":
        raise SpecError(
            f"The model is in format {manifest.format!r}; this server runs ONNX only.",
            where=str(path),
            expected="onnx: loading a pickle would run its code",
            next_step="export the model to ONNX and upload it with `upload_model`",
        )
    return manifest


def metadata(name: str, manifest: Manifest, signature: Signature) -> dict[str, Any]:
    """The model's metadata document of the protocol."""

    def listed(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [{"name": s.name, "datatype": s.datatype, "shape": list(s.shape)} for s in specs]

    return {
        "name": name,
        "versions": [manifest.version],
        "platform": "onnxruntime_onnx",
        "inputs": listed(signature.inputs),
        "outputs": listed(signature.outputs),
        "parameters": {"digest": manifest.digest, "data_version": manifest.fields.get("data_version")},
    }


def _zeros(spec: TensorSpec) -> Array:
    import numpy as np

    from mlk8s.server.tensors import DTYPES

    shape = [1 if size < 0 else size for size in spec.shape]
    return (
        np.full(shape, "", dtype=object)
        if spec.datatype == "BYTES"
        else np.zeros(shape, DTYPES[spec.datatype])
    )
