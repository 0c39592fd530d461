"""The few API calls that a node needs: get, list, watch, apply, patch, delete; JSON in and out.

Used by the node agent, which must stay small, and by `up` before anything else can speak to the new cluster.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import urllib3

_log = logging.getLogger(__name__)

Object = dict[str, Any]

JSON_MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server said no.

    Attributes:
        status: HTTP status, 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class Api:
    """One user's connection to the API server.

    Args:
        server: https://HOST:PORT.
        pki: the cluster's certificate directory.
        user: name of the client certificate in it.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, server: str, pki: Path, user: str, timeout: float = 30) -> None:
        self._pool = urllib3.PoolManager(
            maxsize=8,
            ca_certs=str(pki / "ca.crt"),
            cert_file=str(pki / f"{user}.crt"),
            key_file=str(pki / f"{user}.key"),
            retries=False,
        )
        self._server = server
        self._timeout = urllib3.Timeout(connect=min(5, timeout), read=timeout)

    def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Any:
        """Send one request and read the answer as JSON (text where it is not JSON).

        Raises:
            ApiError: the answer is not 2xx, or there is none.
        """
        try:
            response = self._pool.request(
                method,
                self._server + path,
                body=None if body is None else orjson.dumps(body),
                headers={"Content-Type": content_type, "Accept": "application/json"},
                timeout=self._timeout,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, str(error)) from error
        if response.status >= 300:
            raise ApiError(response.status, _message(response.data))
        try:
            return orjson.loads(response.data)
        except ValueError:
            return response.data.decode(errors="replace")

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def apply(self, path: str, body: Object, manager: str = "mlk8s") -> Any:
        """Server-side apply; the field manager's own fields are taken over."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, content_type=APPLY)

    def merge(self, path: str, body: Object) -> Any:
        """JSON merge patch."""
        return self.request("PATCH", path, body, content_type=JSON_MERGE)

    def delete(self, path: str) -> None:
        """Delete; what is not there is fine."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def events(self, path: str, version: str) -> Iterator[Object]:
        """Watch a collection from a resource version until the server ends the watch.

        Raises:
            ApiError: status 410 when the version is too old; list again.
        """
        separator = "&" if "?" in path else "?"
        url = f"{self._server}{path}{separator}watch=1&allowWatchBookmarks=true&timeoutSeconds=290"
        try:
            response = self._pool.request(
                "GET",
                f"{url}&resourceVersion={version}",
                preload_content=False,
                timeout=urllib3.Timeout(connect=5, read=120),  # a bookmark comes each minute
            )
            if response.status >= 300:
                raise ApiError(response.status, _message(response.read()))
            try:
                yield from _lines(response)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, str(error)) from error


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[Object]:
    pending = b""
    for chunk in response.stream(1 << 16):
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(int(status.get("code", 0)), str(status.get("message", "")))
            yield event


def _message(data: bytes) -> str:
    try:
        return str(orjson.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:300].decode(errors="replace")


class Mirror:
    """A collection kept equal to the API server's by list and watch, in a thread of its own.

    Args:
        api: connection.
        path: of the collection, with a selector where only a part is wanted.
        reduce: keeps what is needed of an object; None leaves the object out.
        changed: called after every change of what is kept, with the mirror already changed.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        reduce: Callable[[Object], Object | None],
        changed: Callable[[], None],
    ) -> None:
        self.objects: Mapping[str, Object] = {}
        self.synced = threading.Event()
        self._api, self._path, self._reduce, self._changed = api, path, reduce, changed

    def start(self) -> None:
        threading.Thread(target=self._run, name=self._path, daemon=True).start()

    def _run(self) -> None:
        pause = 0.1
        while True:
            try:
                version = self._list()
                pause = 0.1
                while True:
                    version = self._watch(version)
            except (ApiError, ValueError, OSError) as error:
                if not (isinstance(error, ApiError) and error.status == 410):
                    _log.warning("%s: %s; again in %.1f s", self._path, error, pause)
                    time.sleep(pause)
                    pause = min(2.0, pause * 2)

    def _list(self) -> str:
        answer = self._api.get(self._path)
        objects = {}
        for item in answer["items"]:
            kept = self._reduce(item)
            if kept is not None:
                objects[item["metadata"]["uid"]] = kept
        different = objects != self.objects or not self.synced.is_set()
        self.objects = objects
        self.synced.set()
        if different:
            self._changed()
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        for event in self._api.events(self._path, version):
            item = event["object"]
            version = item["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            uid = item["metadata"]["uid"]
            kept = None if event["type"] == "DELETED" else self._reduce(item)
            if self.objects.get(uid) == kept:
                continue
            objects = dict(self.objects)  # readers hold the old one
            if kept is None:
                objects.pop(uid, None)
            else:
                objects[uid] = kept
            self.objects = objects
            self._changed()
        return version
