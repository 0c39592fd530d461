"""Credentials of registries, from where Docker and Podman keep them; mlk8s writes none.

In this order: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, ~/.docker/config.json,
$XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json; in each the registry's own helper
(`credHelpers`), the default helper (`credsStore`), then `auths`.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlk8s.errors import UsageError

_HELPER_SECONDS = 30


@dataclass(frozen=True)
class Login:
    """Name and password of one registry; an `identity_token` is a refresh token instead of a password."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an HTTP Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


def find_login(registry: str) -> Login | None:
    """Return what the machine knows for a registry; None for an anonymous call.

    Raises:
        UsageError: a file is not JSON, or a credential helper fails.
    """
    for path in _files():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the credentials of registries cannot be read: {error}", where=str(path)
            ) from None
        if not isinstance(config, dict):
            continue
        helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
        found = _from_helper(helper, registry, path) if helper else None
        found = found or _from_auths(config.get("auths") or {}, registry, path)
        if found:
            return found
    return None


def _files() -> Iterator[Path]:
    home = Path.home()
    places = (
        os.environ.get("REGISTRY_AUTH_FILE"),
        f"{os.environ.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
        f"{os.environ['XDG_RUNTIME_DIR']}/containers/auth.json" if "XDG_RUNTIME_DIR" in os.environ else None,
        f"{home}/.config/containers/auth.json",
    )
    return (Path(place) for place in places if place)


def _from_auths(auths: dict[str, dict[str, str]], registry: str, path: Path) -> Login | None:
    # docker login writes the host, and for some registries a whole address
    for key, entry in auths.items():
        if key.removeprefix("https://").removeprefix("http://").split("/")[0] != registry:
            continue
        if "auth" in entry:
            try:
                username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            except (binascii.Error, ValueError):
                raise UsageError(
                    f"the entry of {registry} is not base64", where=str(path), next_step="log in again"
                ) from None
            return Login(username, password.rstrip("\0"), entry.get("identitytoken", ""))
        if "username" in entry:
            return Login(entry["username"], entry.get("password", ""), entry.get("identitytoken", ""))
    return None


def _from_helper(helper: str, registry: str, path: Path) -> Login | None:
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise UsageError(
            f"the credential helper docker-credential-{helper} is not installed",
            where=str(path),
            next_step="install it, or log in without it",
        )
    try:
        done = subprocess.run(
            [program, "get"],
            input=registry,
            capture_output=True,
            text=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
        if done.returncode:
            if "credentials not found" in done.stdout + done.stderr:
                return None
            raise UsageError(
                f"docker-credential-{helper} failed: {(done.stderr or done.stdout).strip()[:200]}",
                where=str(path),
            )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise UsageError(f"docker-credential-{helper} gave no answer", where=str(path)) from None
    if answer.get("Username") == "<token>":
        return Login("", "", answer.get("Secret", ""))
    return Login(answer.get("Username", ""), answer.get("Secret", ""))
