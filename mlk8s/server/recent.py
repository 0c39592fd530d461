"""The last predictions of this pod, for whoever compares versions: ids and rounded answers, no inputs.

Nothing is kept until it is asked for, and only for as long as it goes on being asked for: each read switches
it on for some seconds. What is kept is bounded in bytes; the oldest goes first, and is counted as lost.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson

from mlk8s.server.protocol import InferRequest, id_of
from mlk8s.server.tensors import Array

LIMIT = 4 << 20
"""Bytes that are kept at most."""
PAGE = 2_000
"""Answers of one read at most."""
FAILED = "failed"
"""Value of a request that the model did not answer."""
LONGEST = 200
"""Characters of a value; a longer one is kept as its digest."""
_LONGEST_ID = 128
_OVERHEAD = 300  # bytes of the objects around an answer's texts
_MOST_SECONDS = 1_800.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is kept of an answer.

    Attributes:
        output: name of the model's output; None keeps all of them.
        digits: decimals that fractions are rounded to; None leaves them.
    """

    output: str | None = None
    digits: int | None = None


class Recent:
    """A ring of answers; `note` may be called from any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.run = secrets.token_hex(4)
        self.wanted = Wanted()
        self._limit = limit
        self._lock = threading.Lock()
        self._until = 0.0
        self._kept: deque[tuple[str, float, str, tuple[str, ...]]] = deque()
        self._bytes = 0
        self._next = 0

    @property
    def on(self) -> bool:
        """Whether answers are kept now."""
        return time.monotonic() < self._until

    def note(
        self, body: bytes, head: str | None, asked: InferRequest | None, arrays: Mapping[str, Array] | None
    ) -> None:
        """Keep one answer, where answers are kept; arrays None: the model did not answer.

        Args:
            body: the request; its digest stands for an id where there is none.
            head: value of X-Request-Id.
            asked: what was read from the body; None where it could not be read.
        """
        if not self.on:
            return
        try:
            value = FAILED if arrays is None else text_of(arrays, self.wanted)
        except Exception:  # what cannot be told here must not become an error for the one who asked
            value = "untold"
        if value is None:
            return  # the request did not ask for the output that is compared
        slices = asked.slices if asked is not None else ()
        key = (asked.id if asked is not None else id_of(body)) or head
        name = _bounded(key) if key else f"body:{_digest(body)}"
        item = (name, time.time(), value, slices)
        with self._lock:
            self._kept.append(item)
            self._next += 1
            self._bytes += _size(item)
            while self._bytes > self._limit:
                self._bytes -= _size(self._kept.popleft())

    def read(self, after: int, seconds: float, wanted: Wanted) -> dict[str, Any]:
        """Return what came after a number, and go on keeping answers for some seconds.

        Args:
            after: `next` of the read before; 0 at first.
            seconds: at most half an hour.
            wanted: another one than before forgets what was kept.
        """
        with self._lock:
            if wanted != self.wanted:
                self._forget()
                self.wanted = wanted
            self._until = time.monotonic() + min(seconds, _MOST_SECONDS)
            first = self._next - len(self._kept)
            start = min(max(after, first), self._next)
            found = [self._kept[number - first] for number in range(start, min(start + PAGE, self._next))]
        return {
            "run": self.run, "next": start + len(found), "lost": max(0, first - after),
            "more": start + len(found) < self._next, "answers": found,
        }  # fmt: skip

    def expire(self) -> float | None:
        """Forget all when nobody asks any more; return the seconds until then, None when it is over."""
        with self._lock:
            left = self._until - time.monotonic()
            if left > 0:
                return left
            self._forget()
            return None

    def _forget(self) -> None:
        self._kept.clear()
        self._bytes = 0


def text_of(arrays: Mapping[str, Array], wanted: Wanted) -> str | None:
    """Return an answer as text to compare: JSON, of one number the bare number; None without the output."""
    if wanted.output is not None:
        if wanted.output not in arrays:
            return None
        document = _plain(arrays[wanted.output], wanted.digits)
    else:
        document = {name: _plain(arrays[name], wanted.digits) for name in sorted(arrays)}
        if len(document) == 1:
            (document,) = document.values()
    raw = orjson.dumps(document)
    return raw.decode() if len(raw) <= LONGEST else f"digest:{_digest(raw)}"


def _plain(array: Array, digits: int | None) -> Any:
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if digits is not None:
            array = np.round(array, digits) + 0.0  # no -0.0
    items = array.ravel().tolist()
    if array.dtype.kind in "OS":
        items = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in items]
    return items[0] if len(items) == 1 else items


def _bounded(key: str) -> str:
    return key if len(key) <= _LONGEST_ID else f"long:{_digest(key.encode())}"


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=12).hexdigest()


def _size(item: tuple[str, float, str, tuple[str, ...]]) -> int:
    name, _, value, slices = item
    return _OVERHEAD + len(name) + len(value) + sum(map(len, slices))
