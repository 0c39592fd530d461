"""Init container: fetch the model from object storage into MODEL_DIR, every digest checked.

Environment: MODEL_URL (`s3://models/iris/1`, `pvc://models/iris/1`, `https://host/iris/1`), MODEL_DIGEST
(`sha256:...` of the manifest; optional for s3), MODEL_DIR, MODEL_BYTES (room there is for it; optional). For
s3 STORAGE_ENDPOINT and STORAGE_CREDENTIALS_DIR, for pvc PVC_DIR (where claims are mounted, by name), for
https HTTPS_CA_FILE (a further authority; optional). Exit code 0; 1 with the cause in one line on stderr and
as termination message; 2 where the environment itself is wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping

from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.storage.artifacts import download
from mlk8s.storage.endings import one_line, tell_end
from mlk8s.storage.manifest import Manifest


def fetch(env: Mapping[str, str]) -> Manifest:
    """Fetch the model that the environment names.

    Raises:
        UsageError: MODEL_URL is missing.
        StorageError: refused, no such model, or DigestMismatch.
    """
    url = env.get("MODEL_URL")
    if not url:
        raise UsageError("MODEL_URL is not set.", expected="the model's place, as in s3://models/iris/1")
    room, digest = env.get("MODEL_BYTES") or None, env.get("MODEL_DIGEST") or None
    if room is not None and not room.isdigit():
        raise UsageError(f"MODEL_BYTES is {room!r}.", expected="a whole number of bytes")
    # Of what is in the image, the image's own digest is sure.
    if digest is None and not url.startswith(("s3://", "file://")):
        raise UsageError("MODEL_DIGEST is not set.", where=url, expected="sha256:... of the manifest.json")
    return download(url, env.get("MODEL_DIR") or "/models", digest=digest, limit=int(room) if room else None)


def main() -> int:
    """Fetch, and say what was fetched or why not; returns the exit code."""
    started = time.monotonic()
    try:
        manifest = fetch(os.environ)
    except Mlk8sError as error:
        tell_end(one_line(error))
        return error.exit_code
    size = sum(file.size for file in manifest.files)
    told = {
        "event": "fetched",
        "model": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
    }
    print(json.dumps({**told, "bytes": size, "seconds": round(time.monotonic() - started, 3)}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
