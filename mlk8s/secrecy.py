"""What looks like a secret: names and values that must not stand in a spec, a message or a log.

It finds what has a form of its own; a password such as `hunter2` under a harmless name has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "[redacted]"

_NAME = re.compile(
    r"(?i)password|passwd|passphrase|secret|credential|(?:api|access|private|signing|encryption)_?key|token$"
)
_PLACE = re.compile(r"(?i)_(?:file|path|dir)$")
_FORMS = (
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"),
    ("an AWS access key id", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("an API key", r"\bsk-[A-Za-z0-9_-]{20,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"),
    ("a URL with a password", r"(?<=://)[^\s/:@'\"]{0,200}:[^\s/@'\"]{1,200}(?=@)"),
)
_FORM = re.compile("|".join(f"({pattern})" for _, pattern in _FORMS), re.DOTALL)
_HINTS = ("-----BEGIN", "AKIA", "ASIA", "gh", "glpat-", "hf_", "xox", "AIza", "sk-", "eyJ", "://")
"""A text without any of these has none of the forms: most texts are done with a few quick searches."""


def looks_secret(text: str) -> str | None:
    """Return what kind of secret a text has in it, such as 'a private key'; None where it looks like none."""
    if not any(hint in text for hint in _HINTS):
        return None
    found = _FORM.search(text)
    return _FORMS[(found.lastindex or 1) - 1][0] if found else None


def secret_name(name: str, value: str = "") -> bool:
    """Whether a variable of this name holds a secret; the path of a file that does is none itself."""
    if _PLACE.search(name) and value.startswith("/"):
        return False
    return bool(_NAME.search(name))


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret replaced."""
    if not any(hint in text for hint in _HINTS):
        return text
    return _FORM.sub(REDACTED, text)


def plain_secrets(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the kind of each text inside nested dicts and sequences that looks like a secret."""
    if isinstance(value, str):
        kind = looks_secret(value)
        if kind:
            yield path, kind
        return
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    for key, item in pairs:
        yield from plain_secrets(item, f"{path}.{key}" if path else str(key))
