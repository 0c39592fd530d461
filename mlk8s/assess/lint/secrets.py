"""Secrets stay out of manifests, environments and ConfigMaps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Container, Obj, entries, mapping, strings, text
from mlk8s.secrecy import looks_secret

Found = Iterator[tuple[Keys, str]]

_NAMED = re.compile(
    r"(?i)(^|[_.-])(password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|credentials?)([_.-]?(id|value))?$"
)
_ASSIGNED = re.compile(r"(?i)--?(password|passwd|secret|token|api-?key|access-?key)[= ]\S+")
_POINTS = re.compile(r"(?i)(^|[_.-])(file|path|dir|name|url|endpoint)$|^/|^$|^\$\(")


def _plain(name: str, value: str) -> bool:
    """Whether a value is a secret by its name or by its looks; a path or a reference to one is none."""
    if looks_secret(value):
        return True
    return bool(_NAMED.search(name)) and not _POINTS.search(name) and not _POINTS.search(value)


@rule(
    "plain-secret", "error", "container",
    "No secret stands in a manifest as plain text: not in env, not in arguments.",
    fix="put it into a Secret and mount that as a file",
    peers="kube-linter env-var-secret; Polaris sensitiveContainerEnvVar",
    standard="CIS 5.4.1",
)  # fmt: skip
def _env(item: Container) -> Found:
    for i, entry in entries(item.body, "env"):
        if _plain(text(entry, "name"), text(entry, "value")):
            yield (
                ("env", i),
                f"the environment variable {text(entry, 'name')} looks like a secret in plain text",
            )
    for part in ("command", "args"):
        for i, word in enumerate(strings(item.body, part)):
            if looks_secret(word) or _ASSIGNED.search(word):
                yield (part, i), "an argument looks like a secret in plain text"


@rule(
    "secret-as-env", "warning", "container",
    "Secrets reach a container as files: an environment is seen by every child and lands in crash reports.",
    fix="mount the Secret as a volume and let the program read the file",
    peers="kube-linter read-secret-from-env-var",
    standard="CIS 5.4.1",
)  # fmt: skip
def _from_secret(item: Container) -> Found:
    for i, entry in entries(item.body, "env"):
        if mapping(entry, "valueFrom", "secretKeyRef"):
            yield ("env", i), f"{text(entry, 'name')} is read from a Secret into the environment"
    for i, entry in entries(item.body, "envFrom"):
        if mapping(entry, "secretRef"):
            yield ("envFrom", i), "a whole Secret is read into the environment"


@rule(
    "secret-in-config-map", "error", "object",
    "No secret stands in a ConfigMap.",
    fix="move it into a Secret",
    peers="Polaris sensitiveConfigmapContent",
)  # fmt: skip
def _config_map(obj: Obj) -> Found:
    if obj.kind != "ConfigMap":
        return
    for key, value in mapping(obj.body, "data").items():
        # Of text of several lines only what looks like one: a file is named for what it is about.
        many = isinstance(value, str) and "\n" in value
        if isinstance(value, str) and (looks_secret(value) if many else _plain(str(key), value)):
            yield ("data", key), f"{key} looks like a secret; a ConfigMap is for everybody to read"


@rule(
    "secret-in-manifest", "warning", "object",
    "No Secret with values lies among manifests: base64 hides nothing. Not asked of live objects.",
    fix="make it with `kubectl create secret` from a store, or by an operator (external-secrets, sealed-secrets)",
)  # fmt: skip
def _manifest(obj: Obj) -> Found:
    if obj.kind == "Secret" and "uid" not in obj.metadata:
        for part in ("data", "stringData"):
            if any(value for value in mapping(obj.body, part).values()):
                yield (part,), "the Secret's values lie in the manifest for everybody who can read it"
