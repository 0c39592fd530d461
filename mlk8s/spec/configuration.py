"""What a container reads: environment and files, plain ones in the spec and secret ones by reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from mlk8s.secrecy import secret_name
from mlk8s.spec.base import Spec
from mlk8s.spec.volume import dns_subdomain

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_KERNEL = ("/proc", "/sys", "/dev")
_SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
FILES_LIMIT = 200_000
"""Bytes of a pod's files as JSON: the spec is kept as an annotation, and those hold 256 KiB together."""


def absolute_path(value: str) -> str:
    """Check a path inside a container: absolute, plain characters, no '..', not the kernel's.

    Raises:
        ValueError: with the expected form.
    """
    parts = value.split("/")
    if not _FILE_PATH.fullmatch(value) or len(value) > 1024 or ".." in parts or "." in parts:
        raise ValueError(f"path {value!r}: expected an absolute path such as /etc/app/settings.yaml")
    if any(value == top or value.startswith(f"{top}/") for top in _KERNEL):
        raise ValueError(f"path {value!r} belongs to the kernel; expected one outside {', '.join(_KERNEL)}")
    if value == _SCRATCH:
        raise ValueError(f"path {value!r} is the container's scratch space; expected another one")
    return value


def variable_name(value: str) -> str:
    """Check the name of an environment variable.

    Raises:
        ValueError: with the expected form.
    """
    if not _ENV.fullmatch(value):
        raise ValueError(f"environment variable {value!r}: expected letters, digits and '_', no digit first")
    return value


def _env(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        variable_name(name)
        if secret_name(name, text):
            # The value is no part of the message, unlike with a ValueError.
            raise PydanticCustomError(
                "plain_secret",
                f"environment variable {name!r} looks like a secret; expected no plain secrets in a spec: "
                "put it into a Kubernetes Secret (`mlk8s secret create`) and name it in secret_env",
            )
        if "\0" in text:
            raise ValueError(f"environment variable {name!r} has a NUL byte; expected text without one")
    return value


def _config_files(value: dict[str, str]) -> dict[str, str]:
    for path in value:
        absolute_path(path)
    check_size(value.values())
    return value


def _read_files(value: object) -> object:
    """Return the texts of files that are given as Path."""
    if not isinstance(value, dict):
        return value
    return {path: _text(item) if isinstance(item, Path) else item for path, item in value.items()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read the file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {file} is not UTF-8 text; expected other bytes on a volume") from None


def check_size(texts: Iterable[str]) -> None:
    """Check that the texts of files fit into a pod's configuration.

    Raises:
        ValueError: they have too many bytes together.
    """
    size = sum(len(json.dumps(text)) for text in texts)
    if size > FILES_LIMIT:
        raise ValueError(
            f"the files have {size} bytes together; expected at most {FILES_LIMIT}: more belongs on a volume"
        )


def secret_key(value: str) -> str:
    """Check a key of a Secret's data.

    Raises:
        ValueError: with the expected form.
    """
    if not _KEY.fullmatch(value) or value in (".", ".."):
        raise ValueError(f"key {value!r}: expected letters, digits, '-', '_' and '.', at most 253")
    return value


def _secret_env(value: dict[str, str]) -> dict[str, str]:
    for name, reference in value.items():
        variable_name(name)
        secret, slash, key = reference.partition("/")
        if not slash:
            raise PydanticCustomError("plain_secret", f"{name}: expected SECRET/KEY, not the value itself")
        dns_subdomain(secret)
        secret_key(key)
    return value


def _secret_files(value: dict[str, str]) -> dict[str, str]:
    for path, secret in value.items():
        absolute_path(path)
        dns_subdomain(secret)
    return value


Environment = Annotated[dict[str, str], AfterValidator(_env)]


def outside(spec: Configuration, taken: Iterable[str]) -> None:
    """Check that no file lies where mlk8s has its own.

    Raises:
        ValueError: one does.
    """
    for path in (*spec.config_files, *spec.secret_files):
        for folder in taken:
            if path == folder or path.startswith(f"{folder}/"):
                raise ValueError(f"{path} lies in {folder}, which is mlk8s's own; expected another place")


class Configuration(Spec):
    """What a container reads at its start.

    Attributes:
        env: plain environment variables; anything that looks like a secret is refused.
        config_files: text, or the Path of a file here, by absolute path in the container; at most 200 kB
            together. An immutable ConfigMap keeps them, so that a change makes new pods.
        secret_env: SECRET/KEY of the namespace by environment variable.
        secret_files: SECRET by directory; each key is a file (mode 0440) in it.
    """

    env: Environment = {}
    config_files: Annotated[dict[str, str], BeforeValidator(_read_files), AfterValidator(_config_files)] = {}
    secret_env: Annotated[dict[str, str], AfterValidator(_secret_env)] = {}
    secret_files: Annotated[dict[str, str], AfterValidator(_secret_files)] = {}

    @model_validator(mode="after")
    def _one_source_a_place(self) -> Configuration:
        both = sorted(set(self.env) & set(self.secret_env))
        if both:
            raise ValueError(f"{both[0]} is in env and in secret_env; expected one source")
        for path in (*self.config_files, *self.secret_files):
            for folder in self.secret_files:
                if path.startswith(f"{folder}/") or (path == folder and path in self.config_files):
                    raise ValueError(f"{path} lies inside {folder} of secret_files; expected separate places")
            for file in self.config_files:
                if path.startswith(f"{file}/"):
                    raise ValueError(f"{path} lies inside the file {file}; expected separate places")
        return self

    def secrets(self) -> dict[str, set[str]]:
        """Return the keys that each Secret must have, by its name; an empty set where any will do."""
        found: dict[str, set[str]] = {name: set() for name in self.secret_files.values()}
        for reference in self.secret_env.values():
            name, _, key = reference.partition("/")
            found.setdefault(name, set()).add(key)
        return found


def referenced_secrets(spec: Spec) -> dict[str, set[str]]:
    """Return the keys of each Secret that a spec and the specs inside it refer to, by the Secret's name."""
    found: dict[str, set[str]] = {}
    values = [item if isinstance(item, tuple) else (item,) for _, item in spec]
    parts = [referenced_secrets(item) for group in values for item in group if isinstance(item, Spec)]
    if isinstance(spec, Configuration):
        parts.append(spec.secrets())
    for part in parts:
        for name, keys in part.items():
            found.setdefault(name, set()).update(keys)
    return found
