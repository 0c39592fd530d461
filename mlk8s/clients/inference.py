"""Predictions over HTTP: a client of the Open Inference Protocol v2."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from mlk8s.clients.tensors import TensorSpec, decode, encode
from mlk8s.clients.tls import context, first_seen
from mlk8s.errors import NotFound, PredictionFailed, Unreachable, UsageError, WaitTimeout

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from urllib3.response import BaseHTTPResponse

VERSION_HEADER = "X-Model-Version"
_PAUSES = (0.1, 0.2)  # seconds before a second and a third try to connect


@dataclass(frozen=True)
class ModelMetadata:
    """What a model server says of one model: GET /v2/models/M."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Prediction:
    """One answer.

    Attributes:
        outputs: arrays by the model's output names.
        model_version: version that answered.
        latency: seconds from sending to the whole answer.
    """

    outputs: dict[str, NDArray[Any]]
    model_version: str
    latency: float

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.outputs[name]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, whatever its status.

    Attributes:
        status: HTTP status.
        model_version: X-Model-Version; None where something else than a model server answered.
        body: the content.
        latency: seconds from sending to the whole answer.
    """

    status: int
    model_version: str | None
    body: bytes
    latency: float

    @property
    def words(self) -> str:
        """The server's own words on an error."""
        try:
            return str(orjson.loads(self.body)["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return self.body.decode(errors="replace").strip()[:300] or f"HTTP {self.status}"


class Inference:
    """A model server at one address, over connections that are kept.

    A request is repeated only where no connection came about: then the server cannot have seen it.

    Args:
        url: base address, http://HOST:PORT/NAMESPACE/NAME; a trailing /v2 is accepted.
        model: name of the model; None means the address's last path element.
        host: Host header, where the Ingress rule has a host; with TLS also the name that is asked for (SNI)
            and that the certificate has to have.
        ca: PEM file of the authorities to trust; None means the machine's.
        look: trust whatever certificate is shown at first: for looking only.
        connect_timeout, timeout: seconds, for the connection and for each read.
        connections: kept connections; more threads than these wait for one.

    Raises:
        UsageError: when the address is not HTTP.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        host: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        look: bool = False,
        connect_timeout: float = 2.0,
        timeout: float = 15.0,
        connections: int = 4,
    ) -> None:
        import urllib3

        self.url = url.rstrip("/").removesuffix("/v2")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("not an HTTP address", where=url, expected="http://HOST:PORT/NAMESPACE/NAME")
        self.model_name = model or parts.path.rpartition("/")[2]
        self.host = host
        self._headers = {"Host": host} if host else {}
        self._metadata: ModelMetadata | None = None
        secure: dict[str, Any] = {}
        if parts.scheme == "https":
            name = host or parts.hostname
            trusted = first_seen(parts.hostname, parts.port, name) if look else context(ca)
            secure = {"ssl_context": trusted, "server_hostname": name}
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            timeout=urllib3.Timeout(connect=connect_timeout, read=timeout),
            retries=False,  # urllib3 would log each one to the user's terminal
            **secure,
        )

    def live(self) -> bool:
        """Whether the server's process answers: GET /v2/health/live."""
        return self.request("GET", "/v2/health/live").status == 200

    def ready(self) -> bool:
        """Whether the server can answer predictions: GET /v2/health/ready."""
        return self.request("GET", "/v2/health/ready").status == 200

    def server_metadata(self) -> dict[str, Any]:
        """Return name, version and extensions of the server: GET /v2."""
        return self._json("/v2")

    def model(self, name: str | None = None, version: str | None = None) -> ModelMetadata:
        """Return a model's versions, inputs and outputs.

        Raises:
            NotFound: the server has no such model or version.
        """
        found = self._json(self._model_path(name or self.model_name, version))
        return ModelMetadata(
            name=str(found["name"]),
            versions=tuple(str(item) for item in found.get("versions") or ()),
            platform=str(found.get("platform", "")),
            inputs=_tensors(found.get("inputs")),
            outputs=_tensors(found.get("outputs")),
        )

    def infer(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Prediction:
        """Ask the model for one prediction.

        Args:
            inputs: arrays by input name, or one array for a model with one input. Shapes and element types
                are the model's own, as its metadata says; the first axis is the batch.
            version: ask for this version and no other.
            headers: further request headers, such as the header that leads to a canary.

        Raises:
            UsageError: the inputs do not fit the model, by its metadata or in the server's words.
            NotFound: no such model or version at this address.
            PredictionFailed: the server answered with another error; it carries status and version.
            Unreachable: no connection, or it broke.
            WaitTimeout: no answer in time.
        """
        body = self.encode(inputs)
        path = self._model_path(self.model_name, version) + "/infer"
        answer = self.request("POST", path, body=body, headers=headers)
        if answer.status != 200:
            self._metadata = None  # another version may take other inputs
            raise self._failure(answer, path)
        parsed = orjson.loads(answer.body)
        return Prediction(
            outputs={str(item["name"]): decode(item) for item in parsed["outputs"]},
            model_version=answer.model_version or str(parsed.get("model_version", "")),
            latency=answer.latency,
        )

    def encode(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> bytes:
        """Return the body of an inference request.

        Raises:
            UsageError: the inputs do not fit the model's metadata.
        """
        if self._metadata is None:
            self._metadata = self.model()
        specs = {item.name: item for item in self._metadata.inputs}
        listed = "; ".join(str(item) for item in specs.values())
        if not isinstance(inputs, Mapping):
            if len(specs) != 1:
                raise UsageError(
                    f"{self.model_name!r} has {len(specs)} inputs, and one array was given", expected=listed
                )
            inputs = {next(iter(specs)): inputs}
        if set(inputs) != set(specs):
            raise UsageError(f"inputs {', '.join(sorted(inputs)) or 'none'} were given", expected=listed)
        return orjson.dumps({"inputs": [encode(spec, inputs[name]) for name, spec in specs.items()]})

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request under the base address and return the answer, whatever its status.

        Raises:
            Unreachable: no connection, or it broke.
            WaitTimeout: no answer in time.
        """
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

        given = {**self._headers, **(headers or {})}
        if body is not None:
            given["Content-Type"] = "application/json"
        start = time.perf_counter()
        for pause in (*_PAUSES, None):
            try:
                response = self._pool.request(method, self.url + path, body=body, headers=given)
            except (NewConnectionError, ConnectTimeoutError) as error:
                if pause is None:
                    raise self._no_answer(error) from None
                time.sleep(pause)
            except HTTPError as error:
                raise self._no_answer(error) from None
            else:
                seconds = time.perf_counter() - start
                return Answer(int(response.status), _version(response), response.data, seconds)
        raise AssertionError("unreachable")  # the last round returns or raises

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def _json(self, path: str) -> dict[str, Any]:
        answer = self.request("GET", path)
        if answer.status != 200:
            raise self._failure(answer, path)
        try:
            return dict(orjson.loads(answer.body))
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise PredictionFailed(
                "the answer is not JSON", status=answer.status, where=self.url + path,
                expected="a server that speaks the Open Inference Protocol v2",
            ) from None  # fmt: skip

    def _model_path(self, name: str, version: str | None) -> str:
        path = f"/v2/models/{quote(name, safe='')}"
        return path if version is None else f"{path}/versions/{quote(version, safe='')}"

    def _failure(self, answer: Answer, path: str) -> NotFound | UsageError | PredictionFailed:
        where = self.url + path
        if answer.status in (400, 413, 415, 422):
            return UsageError(f"the model server refused the request: {answer.words}", where=where)
        if answer.status == 404:
            ours = answer.model_version is not None
            hint = None if ours else "`mlk8s services` shows whether the service is deployed and ready"
            found = answer.words if ours else f"nothing is served here: {answer.words}"
            return NotFound(found, where=where, next_step=hint)
        who = f"version {answer.model_version}" if answer.model_version else "what stands before the models"
        return PredictionFailed(
            f"{who} answered {answer.status}: {answer.words}",
            status=answer.status, model_version=answer.model_version, where=where,
        )  # fmt: skip

    def _no_answer(self, error: Exception) -> Unreachable | WaitTimeout:
        from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError, SSLError

        if isinstance(error, SSLError):
            return Unreachable(
                f"the server's certificate is not trusted: {_first(error)}",
                where=self.url,
                expected="a certificate for the service's host, of an authority that is trusted here",
                next_step="`service.trust('ca.pem')`, or --cacert, names the authority's certificate",
            )
        if isinstance(error, ReadTimeoutError):
            return WaitTimeout(
                "no answer in time",
                where=self.url,
                next_step="`mlk8s services` shows how many pods are ready",
            )
        if isinstance(error, (NewConnectionError, ConnectTimeoutError)):
            return Unreachable(
                f"no connection to the model server: {_first(error)}", where=self.url,
                next_step="`mlk8s status` shows the local cluster, `mlk8s services` the service",
            )  # fmt: skip
        return Unreachable(f"the connection broke before the answer: {_first(error)}", where=self.url)


def _tensors(items: list[dict[str, Any]] | None) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(str(item["name"]), str(item["datatype"]), tuple(int(n) for n in item["shape"]))
        for item in items or ()
    )


def _version(response: BaseHTTPResponse) -> str | None:
    return response.headers.get(VERSION_HEADER)


def _first(error: BaseException) -> str:
    # "HTTPConnection(…): Failed to establish …: [Errno 111] Connection refused": the end counts; of a
    # connection that timed out the text is the last argument, after the connection itself.
    said = error.args[-1] if len(error.args) > 1 and isinstance(error.args[-1], str) else error
    return (str(said).splitlines() or [type(error).__name__])[0].rpartition(": ")[2] or type(error).__name__
