"""What the server's environment may say, each value checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlk8s.errors import UsageError

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings by environment variable.

    Attributes:
        model_dir: MODEL_DIR, where `manifest.json` and the model lie.
        model_name: MODEL_NAME, the name in URLs; None takes the manifest's.
        base_path: BASE_PATH, a prefix under which everything but /metrics answers too.
        host, port: HOST and PORT.
        max_body: MAX_BODY_BYTES of a request; more is 413.
        max_in_flight: MAX_IN_FLIGHT requests; one more is 503 with Retry-After.
        workers: INFERENCE_WORKERS, threads that run the model.
        threads: INTRA_OP_THREADS of ONNX Runtime for one inference.
        body_timeout: BODY_TIMEOUT_SECONDS for a request's body to arrive; longer is 408.
        drain: DRAIN_SECONDS after SIGTERM in which requests are still taken while readiness answers 503.
        shutdown: SHUTDOWN_SECONDS at most for requests in flight to finish after that.
        access_log: ACCESS_LOG, one JSON line a request.
    """

    model_dir: Path = Path("/models")
    model_name: str | None = None
    base_path: str = ""
    host: str = "0.0.0.0"
    port: int = 8080
    max_body: int = 32 << 20
    max_in_flight: int = 1024
    workers: int = 2
    threads: int = 1
    body_timeout: float = 30.0
    drain: float = 1.0
    shutdown: float = 15.0
    access_log: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ServerConfig:
        """Read the environment.

        Raises:
            UsageError: a value is not of its type or outside its range; names the variable.
        """
        base = env.get("BASE_PATH", "").rstrip("/")
        if not _PATH.fullmatch(base):
            raise UsageError(f"BASE_PATH is {base!r}.", expected="/NAMESPACE/NAME, or nothing")
        if (env.get("ALLOW_PICKLE", "") or "false").lower() not in ("false", "0", "no"):
            raise UsageError(
                "ALLOW_PICKLE is set, but this server runs ONNX models only.",
                expected="ALLOW_PICKLE unset, and a model in ONNX format",
            )
        return cls(
            model_dir=Path(env.get("MODEL_DIR") or "/models"),
            model_name=env.get("MODEL_NAME") or None,
            base_path=base,
            host=env.get("HOST") or "0.0.0.0",
            port=int(_number(env, "PORT", 8080, 0, 65535)),
            max_body=int(_number(env, "MAX_BODY_BYTES", 32 << 20, 1, 1 << 31)),
            max_in_flight=int(_number(env, "MAX_IN_FLIGHT", 1024, 1, 100_000)),
            workers=int(_number(env, "INFERENCE_WORKERS", 2, 1, 256)),
            threads=int(_number(env, "INTRA_OP_THREADS", 1, 1, 256)),
            body_timeout=_number(env, "BODY_TIMEOUT_SECONDS", 30, 0.1, 3600, whole=False),
            drain=_number(env, "DRAIN_SECONDS", 1, 0, 600, whole=False),
            shutdown=_number(env, "SHUTDOWN_SECONDS", 15, 0.1, 3600, whole=False),
            access_log=_flag(env, "ACCESS_LOG"),
        )


def _number(
    env: Mapping[str, str], name: str, default: float, low: float, high: float, *, whole: bool = True
) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} is {text!r}.", expected=f"{kind} from {low:g} to {high:g}")
    return value


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip().lower()
    if text in ("", "false", "0", "no"):
        return False
    if text in ("true", "1", "yes"):
        return True
    raise UsageError(f"{name} is {text!r}.", expected="true or false")
