"""The endpoints of the Open Inference Protocol v2, with and without BASE_PATH.

GET  /v2                                  the server
GET  /v2/health/live, /v2/health/ready    probes
GET  /v2/models/M[/versions/V]            the model's signature
GET  /v2/models/M[/versions/V]/ready
POST /v2/models/M[/versions/V]/infer
GET  /metrics                             never below BASE_PATH: the Ingress does not show it
GET  /recent                              the last predictions; to this pod's own loopback only (port-forward)
GET  BASE_PATH                            where the others are
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

import mlk8s
from mlk8s.server.config import ServerConfig
from mlk8s.server.http import Endpoint, HttpError, Observed, json_response, not_found, path_of, read_body
from mlk8s.server.log import log
from mlk8s.server.metrics import CONTENT_TYPE, Metrics
from mlk8s.server.model import Model, ModelFailedError, metadata
from mlk8s.server.protocol import HEADER_LENGTH, InferRequest, RequestError, read_request, write_response
from mlk8s.server.recent import Recent, Wanted
from mlk8s.server.tensors import NotFiniteError
from mlk8s.storage.manifest import Manifest


class Api:
    """State of this pod's server, and a handler for each endpoint."""

    def __init__(self, config: ServerConfig, manifest: Manifest) -> None:
        self.config, self.manifest = config, manifest
        self.name = config.model_name or manifest.name
        self.metrics = Metrics(self.name, manifest.version)
        self.recent = Recent()
        self.model: Model | None = None
        self.draining = False
        self._pool = ThreadPoolExecutor(config.workers, "infer")

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.model is not None and not self.draining

    def application(self) -> ASGIApp:
        """All routes, observed."""
        router = Router(
            [
                Route("/metrics", Endpoint("/metrics", {"GET": self.show_metrics}, observed=False)),
                Route("/recent", Endpoint("/recent", {"GET": self.show_recent}, observed=False)),
                *self._routes(),
            ],
            redirect_slashes=False,
            default=not_found,
        )
        return Observed(
            router,
            self.metrics,
            self.manifest.version,
            closing=lambda: self.draining,
            access_log=self.config.access_log,
        )

    def _routes(self) -> list[BaseRoute]:
        infer, live, ready = {"POST": self.infer}, {"GET": self.show_live}, {"GET": self.show_ready}
        shown: dict[str, Endpoint] = {}
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            shown[f"{model}/infer"] = Endpoint(f"{model}/infer", infer)
            shown[model] = Endpoint(model, {"GET": self.show_model})
            shown[f"{model}/ready"] = Endpoint(
                f"{model}/ready", {"GET": self.show_model_ready}, observed=False
            )
        shown["/v2/health/live"] = Endpoint("/v2/health/live", live, observed=False)
        shown["/v2/health/ready"] = Endpoint("/v2/health/ready", ready, observed=False)
        shown["/v2"] = Endpoint("/v2", {"GET": self.show_server})
        shown["/"] = Endpoint("/", {"GET": self.show_index})
        base = self.config.base_path
        prefixes = [base, ""] if base else [""]
        routes: list[BaseRoute] = [Route(prefix + path, shown[path]) for prefix in prefixes for path in shown]
        return [*routes, Route(base, shown["/"])] if base else routes

    async def infer(self, request: Request) -> Response:
        """Answer one infer request; counted as in flight until its answer is made."""
        self._check_model(request)
        counter = self.metrics.in_flight
        if counter.now >= self.config.max_in_flight:
            words = f"{counter.now} requests are in flight; expected {self.config.max_in_flight} at most"
            raise HttpError(503, words, {"Retry-After": "1"})
        counter.enter()
        try:
            model = self._loaded()
            body = await read_body(request, self.config.max_body, self.config.body_timeout)
            length, key = request.headers.get(HEADER_LENGTH), request.headers.get("x-request-id")
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._answer, model, body, length, key)
        finally:
            counter.leave()

    def _answer(self, model: Model, body: bytes, header_length: str | None, key: str | None) -> Response:
        """Parse, run, write: all of a request's work, in a thread, so that probes are answered meanwhile."""
        asked, arrays = None, None
        try:
            asked = read_request(body, header_length, model.signature)
            arrays = self._run(model, asked)
            content, head = write_response(self.name, self.manifest.version, asked, arrays, model.signature)
        except RequestError as error:
            raise HttpError(400, str(error)) from None
        except NotFiniteError as error:
            arrays = None
            raise HttpError(500, str(error)) from None
        finally:
            self.recent.note(body, key, asked, arrays)
        if head is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(head)}, media_type="application/octet-stream")

    def _run(self, model: Model, asked: InferRequest) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            return model.run(asked.inputs, [name for name, _ in asked.outputs])
        except ModelFailedError as error:
            log("model_failed", model=self.name, version=self.manifest.version, error=str(error))
            raise HttpError(
                500, f"model {self.name!r} version {self.manifest.version!r} failed: {error}"
            ) from None
        finally:
            self.metrics.observe_infer(time.perf_counter() - started)

    async def show_server(self, _: Request) -> Response:
        """GET /v2."""
        return json_response(
            {"name": "mlk8s", "version": mlk8s.__version__, "extensions": ["binary_tensor_data"]}
        )

    async def show_live(self, _: Request) -> Response:
        """The process answers."""
        return json_response({"live": True})

    async def show_ready(self, _: Request) -> Response:
        """The model is loaded, and the pod is not ending."""
        return json_response({"ready": self.ready}, 200 if self.ready else 503)

    async def show_model_ready(self, request: Request) -> Response:
        """The same, for one model."""
        self._check_model(request)
        return json_response({"name": self.name, "ready": self.ready}, 200 if self.ready else 503)

    async def show_model(self, request: Request) -> Response:
        """Name, versions, signature."""
        self._check_model(request)
        return json_response(metadata(self.name, self.manifest, self._loaded().signature))

    async def show_metrics(self, _: Request) -> Response:
        """For Prometheus."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def show_recent(self, request: Request) -> Response:
        """The last predictions, for `mlk8s canary shadow`; whoever comes over the network finds nothing."""
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            raise HttpError(404, "there is nothing at '/recent'")
        query = request.query_params
        try:
            after, seconds = int(query.get("after", "0")), float(query.get("seconds", "30"))
            digits = int(query["round"]) if "round" in query else None
        except ValueError:
            raise HttpError(400, "after and round are whole numbers, seconds is a number") from None
        forgotten = not self.recent.on
        found = self.recent.read(after, seconds, Wanted(query.get("output"), digits))
        if forgotten:
            asyncio.get_running_loop().call_soon(self._forget_recent)
        return json_response({"version": self.manifest.version, **found})

    def _forget_recent(self) -> None:
        left = self.recent.expire()
        if left is not None:
            asyncio.get_running_loop().call_later(left + 0.1, self._forget_recent)

    async def show_index(self, _: Request) -> Response:
        """Where the others are, for whoever opens the address in a browser."""
        base = self.config.base_path
        model = f"{base}/v2/models/{self.name}"
        links = {
            "server": f"{base}/v2",
            "ready": f"{base}/v2/health/ready",
            "model": model,
            "infer": f"{model}/infer",
        }
        return json_response({"model": self.name, "version": self.manifest.version, "links": links})

    def _check_model(self, request: Request) -> None:
        name, version = path_of(request, "model"), path_of(request, "version")
        if name != self.name:
            raise HttpError(404, f"model {name[:80]!r} is unknown; expected {self.name!r}")
        if version is not None and version != self.manifest.version:
            raise HttpError(
                404, f"version {version[:80]!r} is not served here; expected {self.manifest.version!r}"
            )

    def _loaded(self) -> Model:
        if self.model is None:
            raise HttpError(503, "the model is still loading", {"Retry-After": "1"})
        return self.model
