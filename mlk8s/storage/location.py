"""Where something lies: s3://bucket/path, pvc://claim/path, https://host/path, file:///path or a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlk8s.errors import SpecError

_NAMES = {
    "s3": (
        re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
        "bucket: 3 to 63 lower-case letters, digits, dots or hyphens.",
    ),
    "pvc": (re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"), "PersistentVolumeClaim."),
    "https": (re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"), "host."),
}
"""What stands before the path, by scheme; the rules of S3 for its buckets."""
_FORMS = "s3://BUCKET/PATH, pvc://CLAIM/PATH, https://HOST/PATH, file:///PATH or a path of this machine"


@dataclass(frozen=True, slots=True)
class Location:
    """One place: a path in a bucket (`s3`), claim (`pvc`) or host (`https`), or an absolute one (`file`)."""

    scheme: str
    bucket: str
    path: str

    @classmethod
    def parse(cls, url: str | Path | Location) -> Location:
        """Read a URL or path.

        Raises:
            SpecError: the scheme is another one, or the bucket or path is missing or malformed.
        """
        if isinstance(url, Location):
            return url
        text = str(url)
        if not text or "\0" in text:
            raise SpecError("The storage address is empty or holds a NUL.", where=repr(text), expected=_FORMS)
        if "://" not in text:
            return cls("file", "", str(Path(text).absolute()))
        parts = urlsplit(text)
        if parts.scheme == "file":
            if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
                raise SpecError("This is no path of this machine.", where=text, expected="file:///PATH")
            return cls("file", "", str(Path(unquote(parts.path))))
        if parts.scheme not in ("s3", "pvc", "https"):
            raise SpecError(f"The storage scheme {parts.scheme!r} is unknown.", where=text, expected=_FORMS)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise SpecError(
                "A storage address holds a bucket, claim or host and a path only.",
                where=_without_secret(text),
                expected=_FORMS,
            )
        rule, words = _NAMES[parts.scheme]
        if not rule.fullmatch(parts.netloc) or ".." in parts.netloc:
            raise SpecError(f"{parts.netloc!r} cannot be a {words}", where=text, expected=_FORMS)
        return cls(parts.scheme, parts.netloc, _clean(parts.path, text))

    def __truediv__(self, name: str) -> Location:
        """The place `name` below this one; `name` may hold slashes but no `.` or `..`."""
        added = _clean(name, name)
        return Location(self.scheme, self.bucket, f"{self.path.rstrip('/')}/{added}" if self.path else added)

    def __str__(self) -> str:
        return (
            f"file://{self.path}" if self.scheme == "file" else f"{self.scheme}://{self.bucket}/{self.path}"
        )

    @property
    def name(self) -> str:
        """The last part of the path; empty for a whole bucket."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Location:
        """The place that holds this one; a bucket's parent is itself."""
        head = self.path.rsplit("/", 1)[0] if "/" in self.path else ""
        return Location(self.scheme, self.bucket, head or ("/" if self.scheme == "file" else ""))


def _clean(path: str, where: str) -> str:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise SpecError("A storage path has no '.' or '..' parts.", where=where)
    return "/".join(parts)


def _without_secret(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", url)
