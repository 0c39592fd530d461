"""One repository of an OCI registry: blobs and manifests, sent only where they are not there yet.

The protocol is https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md, the token flow
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from mlk8s.clients.oci.login import Login
from mlk8s.clients.oci.reference import Reference
from mlk8s.errors import Forbidden, NotFound, Rejected, Unreachable

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPT = ", ".join((MANIFEST, INDEX, _DOCKER, _DOCKER_LIST))
_TRIES = 4
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Repository:
    """A repository, with whatever login the machine has for its registry.

    Args:
        place: the image's address; tag and digest do not matter here.
        login: None asks anonymously.
        plain_http: speak HTTP; on by itself for localhost and 127.0.0.1, as Docker and containerd do it.
        ca_file: certificate authorities of a private registry, PEM.
    """

    def __init__(
        self,
        place: Reference,
        login: Login | None = None,
        *,
        plain_http: bool = False,
        ca_file: Path | None = None,
    ) -> None:
        import urllib3

        host = place.registry.partition(":")[0]
        scheme = "http" if plain_http or host in ("localhost", "127.0.0.1") else "https"
        self.place = place
        self._base = f"{scheme}://{place.registry}"
        self._login = login
        self._authorization: str | None = None
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=300),
            retries=False,
            ca_certs=str(ca_file) if ca_file else None,
        )

    def has_blob(self, digest: str) -> bool:
        """Whether the registry holds a blob already."""
        return self._send("HEAD", f"blobs/{digest}", allowed=(200, 404)).status == 200

    def push_blob(self, digest: str, content: bytes | Path) -> bool:
        """Send a blob unless it is there; returns whether it was sent.

        Raises:
            Forbidden: the login may not push.
            Rejected: the registry refuses it.
            Unreachable: the registry does not answer.
        """
        if self.has_blob(digest):
            return False
        for attempt in range(1, _TRIES + 1):
            try:
                started = self._send("POST", "blobs/uploads/", allowed=(202,))
                place = urljoin(self._base, started.headers["Location"])
                place += ("&" if "?" in place else "?") + urlencode({"digest": digest})
                headers = {"Content-Type": "application/octet-stream"}
                if isinstance(content, bytes):
                    self._send("PUT", place, allowed=(201,), body=content, headers=headers)
                else:
                    headers["Content-Length"] = str(content.stat().st_size)
                    with content.open("rb") as file:
                        self._send("PUT", place, allowed=(201,), body=file, headers=headers)
                return True
            except Unreachable:
                # An upload that broke off begins anew: its session may be gone with the connection.
                if attempt == _TRIES:
                    raise
                time.sleep(attempt)
        raise AssertionError("unreachable")

    def push_manifest(self, content: bytes, reference: str, media_type: str = MANIFEST) -> bool:
        """Store a manifest under a tag or its digest; returns whether the registry noted its subject."""
        answer = self._send(
            "PUT",
            f"manifests/{reference}",
            allowed=(201,),
            body=content,
            headers={"Content-Type": media_type},
        )
        return "OCI-Subject" in answer.headers

    def manifest(self, reference: str) -> tuple[dict[str, Any], str]:
        """Return a manifest or an index, and its digest.

        Raises:
            NotFound: no such tag or digest.
            Rejected: the bytes are not those of the digest that was asked for.
        """
        answer = self._send("GET", f"manifests/{reference}", headers={"Accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(answer.data).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise Rejected(
                f"the registry answered with {digest}", where=f"{self.place.name}@{reference}",
                expected="the manifest that was asked for",
            )  # fmt: skip
        return dict(json.loads(answer.data)), digest

    def find_manifest(self, reference: str) -> tuple[dict[str, Any], str] | None:
        """Return a manifest and its digest, None where there is none."""
        try:
            return self.manifest(reference)
        except NotFound:
            return None

    def fetch_blob(self, digest: str, target: Path, *, size: int) -> None:
        """Write a blob to a file, checked against its digest.

        Raises:
            Rejected: the bytes are not those of the digest.
        """
        answer = self._send("GET", f"blobs/{digest}", allowed=(200, 307, 302), stream=True)
        if answer.status != 200:  # many registries hand blobs out from object storage, without our login
            answer = self._request("GET", urljoin(self._base, answer.headers["Location"]), {}, None, True)
        seen, total = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in answer.stream(1 << 20):
                total += len(chunk)
                if total > size:
                    break
                seen.update(chunk)
                file.write(chunk)
        answer.release_conn()
        if f"sha256:{seen.hexdigest()}" != digest:
            target.unlink()
            raise Rejected(
                f"a layer has {total} bytes of digest sha256:{seen.hexdigest()}",
                where=f"{self.place.name}@{digest}",
                expected=f"{size} bytes of that digest",
            )

    def _send(
        self,
        method: str,
        path: str,
        *,
        allowed: tuple[int, ...] = (200,),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> BaseHTTPResponse:
        url = path if "://" in path else f"{self._base}/v2/{self.place.repository}/{path}"
        for attempt in range(1, _TRIES + 1):
            answer = self._request(method, url, self._headers(url, headers), body, stream)
            if answer.status == 401 and self._authorize(answer.headers.get("WWW-Authenticate", "")):
                if hasattr(body, "seek"):
                    body.seek(0)
                answer = self._request(method, url, self._headers(url, headers), body, stream)
            if answer.status in allowed:
                return answer
            if (answer.status == 429 or answer.status >= 500) and attempt < _TRIES:
                pause = answer.headers.get("Retry-After", "")
                time.sleep(min(float(pause) if pause.isdigit() else attempt, 30))
                if hasattr(body, "seek"):
                    body.seek(0)
                continue
            raise self._failure(answer, method)
        raise AssertionError("unreachable")

    def _headers(self, url: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = dict(headers or {})
        # An upload may be handed to another host, which has no business with the login.
        if self._authorization and urlsplit(url).netloc == self.place.registry:
            sent["Authorization"] = self._authorization
        return sent

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, stream: bool
    ) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        try:
            return self._http.request(
                method, url, headers=headers, body=body, preload_content=not stream, redirect=False
            )
        except (HTTPError, OSError) as error:
            raise Unreachable(
                f"the registry does not answer: {_reason(error)}",
                where=self._base,
                next_step="is the address right, and does it speak HTTPS? (if not: --plain-http)",
            ) from None

    def _authorize(self, challenge: str) -> bool:
        """Do what the registry asks for; returns whether there is something new to try."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login and self._authorization is None:
            self._authorization = self._login.basic
            return True
        wanted = dict(_CHALLENGE.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in wanted:
            return False
        query = {key: wanted[key] for key in ("service", "scope") if key in wanted}
        if self._login and self._login.identity_token:
            form = query | {"grant_type": "refresh_token", "refresh_token": self._login.identity_token}
            body = urlencode(form | {"client_id": "mlk8s"}).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._request("POST", wanted["realm"], headers, body, False)
        else:
            headers = {"Authorization": self._login.basic} if self._login else {}
            answer = self._request("GET", f"{wanted['realm']}?{urlencode(query)}", headers, None, False)
        if answer.status != 200:
            raise self._failure(answer, "GET")
        token = json.loads(answer.data)
        self._authorization = f"Bearer {token.get('token') or token.get('access_token')}"
        return True

    def _failure(self, answer: BaseHTTPResponse, method: str) -> Exception:
        if not answer.data:
            answer.drain_conn()
        try:
            words = "; ".join(
                str(item.get("message") or item.get("code"))
                for item in json.loads(answer.data or b"{}").get("errors") or []
            )
        except (ValueError, AttributeError):
            words = ""
        told = f"HTTP {answer.status}" + (f", {words}" if words else "")
        place = str(self.place)
        if answer.status in (401, 403):
            who = f"the login {self._login.username!r}" if self._login else "an anonymous call"
            return Forbidden(
                f"the registry refused {who}: {told}",
                where=place,
                next_step=f"log in with the right to {'read' if method in ('GET', 'HEAD') else 'push'}: "
                f"docker login {self.place.registry} (or podman login)",
            )
        if answer.status == 404:
            return NotFound(f"the registry has no such image: {told}", where=place)
        return Rejected(f"the registry refused a {method}: {told}", where=place)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2] or type(error).__name__
