"""What the Job digits-models runs: publish both versions of the model; again is no error."""

from __future__ import annotations

from pathlib import Path

from mlk8s.storage.models import upload_model

for version in (1, 2):
    published = upload_model(
        Path(__file__).with_name(f"digits-{version}.onnx"), f"s3://models/digits/{version}"
    )
    print(published.url, published.digest, flush=True)  # noqa: T201  the container's log
