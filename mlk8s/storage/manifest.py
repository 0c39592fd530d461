"""`manifest.json`: the files of one version with their digests, and what the publisher says about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlk8s.errors import DigestMismatch, StorageError

MANIFEST = "manifest.json"
_OWN = ("name", "version", "format", "created", "run", "files")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version: path, SHA-256 (64 hex digits), size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One committed version.

    Attributes:
        run: the publisher's own folder below the version, so that two publishers never mix.
        fields: everything else: `inputs`, `outputs`, `data_version`, `metadata`, ...
        raw: the bytes as stored; the digest is over them.
    """

    name: str
    version: str
    format: str
    created: str
    run: str
    files: tuple[File, ...]
    fields: Mapping[str, Any]
    raw: bytes

    @classmethod
    def make(cls, *, name: str, version: str, format: str, created: str, run: str, files: tuple[File, ...],
             fields: Mapping[str, Any]) -> Manifest:  # fmt: skip
        """Write a manifest; its JSON is sorted nowhere, so that it reads in the order it is written."""
        head = {"name": name, "version": version, "format": format, "created": created, "run": run}
        listed = [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in files]
        raw = json.dumps({**head, **fields, "files": listed}, indent=2).encode() + b"\n"
        return cls(name, version, format, created, run, files, dict(fields), raw)

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Manifest:
        """Read a manifest.

        Raises:
            StorageError: it is not JSON, or a field is missing or of another type.
        """
        try:
            document = json.loads(raw)
            files = tuple(File(str(f["path"]), str(f["sha256"]), int(f["size"])) for f in document["files"])
            texts = {name: str(document[name]) for name in _OWN[:4]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StorageError(
                f"The manifest cannot be read: {type(error).__name__}: {error}.",
                where=where,
                expected="a manifest.json as `upload_model` or `publish_dataset` write it",
            ) from None
        if (
            not files
            or any(_leaves(file.path) for file in files)
            or _leaves(str(document.get("run") or "run"))
        ):
            raise StorageError("The manifest names no files, or files outside its version.", where=where)
        fields = {name: value for name, value in document.items() if name not in _OWN}
        return cls(**texts, run=str(document.get("run", "")), files=files, fields=fields, raw=raw)

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the stored bytes; names the version and all its content."""
        return "sha256:" + hashlib.sha256(self.raw).hexdigest()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the publisher added."""
        value = self.fields.get("metadata")
        return value if isinstance(value, dict) else {}

    def key(self, file: File) -> str:
        """The object of a file, relative to the version."""
        return f"{self.run}/{file.path}" if self.run else file.path

    def same_content(self, other: Manifest) -> bool:
        """Whether the files are the same, byte for byte."""
        return set(self.files) == set(other.files)


def check_file(file: File, sha256: str, size: int, where: str) -> None:
    """Compare what was read with what the manifest says.

    Raises:
        DigestMismatch: another digest or size.
    """
    if size != file.size or sha256 != file.sha256:
        raise DigestMismatch(
            f"{file.path} is not the file that was published: sha256:{sha256}, {size} bytes.",
            where=where,
            expected=f"sha256:{file.sha256}, {file.size} bytes",
            next_step="publish the model or data set again under a new version",
        )


def _leaves(path: str) -> bool:
    return path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/"))
