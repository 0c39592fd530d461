"""`python3 -m mlk8s.server`: serve the model in MODEL_DIR; settings in `mlk8s.server.config`."""

from __future__ import annotations

import os
import sys
import time

from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.server.config import ServerConfig
from mlk8s.storage.endings import one_line, tell_end


def main() -> int:
    """Serve until SIGTERM; returns the exit code: 0, 1 without a model, 2 for bad settings."""
    started = time.monotonic()
    try:
        config = ServerConfig.from_env(os.environ)
        # Imported late: bad settings are told before half a second of imports.
        from mlk8s.server.app import Api
        from mlk8s.server.lifecycle import serve
        from mlk8s.server.model import read_manifest

        serve(config, Api(config, read_manifest(config.model_dir)), started)
    except Mlk8sError as error:
        tell_end(one_line(error))
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
