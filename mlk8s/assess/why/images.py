"""Why an image cannot be pulled, told apart by the kubelet's and the registry's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.observed import Container, Object, age, place

PULL_GRACE = 15.0
"""Seconds until the kubelet has tried to pull an image twice (its first back-off is 10 s)."""

_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
# In this order: a registry that hides a repository says "denied" and "does not exist" at once, and the words
# of a network that fails end in "not found" on some resolvers.
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("image-name", r"InvalidImageName|invalid reference|couldn't parse image", "correct the image's name"),
    (
        "image-never-pulled",
        r"ErrImageNeverPull|pull policy of Never",
        "load the image onto the nodes, or set imagePullPolicy to IfNotPresent",
    ),
    (
        "registry-unreachable",
        r"(?i)dial tcp|connection refused|no such host|i/o timeout|network is unreachable|x509|tls:|"
        r"deadline exceeded|too many requests|server misbehaving|RegistryUnavailable|connection reset",
        "see whether the node reaches the registry, or load the image onto the nodes (a local cluster: "
        "`mlk8s up --egress`, `mlk8s image build --load`)",
    ),
    (
        "image-unauthorized",
        r"(?i)unauthorized|authorization failed|denied|forbidden|no basic auth|insufficient_scope",
        "give the pod an imagePullSecrets entry with credentials for this registry; "
        "some registries say this of a repository that is not there, too",
    ),
    (
        "image-not-found",
        r"(?i)not found|manifest unknown|name unknown|no match for platform",
        "correct the image's name and tag, or push it",
    ),
)
_LINK = re.compile(r'(?:Back-off pulling image|unpack image|resolve reference) "[^"]*": (?:ErrImagePull: )?')
_HEALS = "registry-unreachable"  # a registry that does not answer once may answer the next time


def pull(pod: Object, container: Container, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    """Yield why a container's image is not there."""
    reason = container.waiting.get("reason")
    if reason not in _REASONS:
        return
    words = str(container.waiting.get("message", reason))
    failures = [
        e for e in events if e.get("reason") == "Failed" and "pull" in str(e.get("message", "")).lower()
    ]
    told = next((str(e["message"]) for e in reversed(failures) if "Error: " not in str(e["message"])), "")
    if "Back-off" in words and ":" not in words.partition('"')[2].partition('"')[2]:
        words = told or words  # older kubelets keep the registry's words in the event only
    image = container.spec.get("image")
    key, remedy = _kind(f"{reason} {words}")
    twice = age(pod["status"].get("startTime"), now) >= PULL_GRACE
    yield Cause(
        key,
        f"image {image} cannot be pulled: {_last_words(short(words))}",
        f"{place(pod)}, container {container.name}",
        remedy,
        certain=key not in (_HEALS, "image-pull") or twice,
        evidence=(f"{reason}: {short(words)}",),
    )


def _kind(words: str) -> tuple[str, str]:
    # The image's own name must not be read as the registry's answer.
    answer = re.sub(r'"[^"]*"', '""', words)
    for key, pattern, remedy in _KINDS:
        if re.search(pattern, answer):
            return key, remedy
    return "image-pull", "check the image's name and tag, and that the nodes may pull it"


def _last_words(words: str) -> str:
    """Return the end of a chain of errors: each link repeats the image, the last one says what is new."""
    return _LINK.split(words)[-1] or words
