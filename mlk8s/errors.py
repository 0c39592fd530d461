"""Every error that a user can meet.

    Mlk8sError                     exit code
    ├── UsageError                 2   the command or call itself is wrong
    ├── SpecError                  2   a declared value is outside what Kubernetes or mlk8s accepts
    ├── ClusterError               1   the API server answered, and the answer was no
    │   ├── NotFound               1
    │   ├── Conflict               1   somebody else owns the field or the object
    │   ├── Rejected               1   validation, admission, quota
    │   ├── Unreachable            5   no kubeconfig, no route, refused, TLS
    │   └── Forbidden              5   who you are, or what you may do
    ├── RolloutFailed              1   a workload cannot become ready; the cause is in the message
    ├── RolledBack                 3   the change was undone; the old version serves
    ├── WaitTimeout                4   time was up and no cause is known
    ├── PredictionFailed           1   a model server answered a prediction with an error
    ├── StorageError               1   object storage refused or is not there
    │   └── DigestMismatch         1   the bytes are not those of the manifest
    ├── LocalClusterError          1   a local cluster cannot be started, stopped or used
    └── LoadTestError              1   a load test did not run to its end

A message has up to four parts: what was found, where, what was expected, and the next step.
`str()` joins them, one line each, so that a terminal, a notebook and a log show the same text; what looks
like a secret in them is replaced.
"""

from __future__ import annotations

from typing import ClassVar

from mlk8s.secrecy import redact


class Mlk8sError(Exception):
    """Base of every error that mlk8s raises on purpose.

    Args:
        what: one sentence, what was found.
        where: object, file, field path or address it was found at.
        expected: what would have been right, with its range.
        next_step: what the reader can do now, a command where there is one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        # What others say is in here, too: the API server's words, the last lines of a pod's log.
        super().__init__(redact(what))
        self.what = redact(what)
        self.where = redact(where) if where else where
        self.expected = redact(expected) if expected else expected
        self.next_step = next_step

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  where:    {self.where}")
        if self.expected:
            parts.append(f"  expected: {self.expected}")
        if self.next_step:
            parts.append(f"  next:     {self.next_step}")
        return "\n".join(parts)


class UsageError(Mlk8sError):
    exit_code = 2


class SpecError(Mlk8sError):
    exit_code = 2


class ClusterError(Mlk8sError):
    pass


class NotFound(ClusterError):
    pass


class Conflict(ClusterError):
    pass


class Rejected(ClusterError):
    pass


class Unreachable(ClusterError):
    exit_code = 5


class Forbidden(ClusterError):
    exit_code = 5


class RolloutFailed(Mlk8sError):
    pass


class RolledBack(Mlk8sError):
    exit_code = 3


class WaitTimeout(Mlk8sError):
    exit_code = 4


class PredictionFailed(Mlk8sError):
    """A model server's error answer.

    Args:
        status: HTTP status.
        model_version: version that answered, as its X-Model-Version says; None where no model server did.
    """

    def __init__(
        self, what: str, *, status: int, model_version: str | None = None, where: str | None = None,
        expected: str | None = None, next_step: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(what, where=where, expected=expected, next_step=next_step)
        self.status = status
        self.model_version = model_version


class StorageError(Mlk8sError):
    pass


class DigestMismatch(StorageError):
    pass


class LocalClusterError(Mlk8sError):
    pass


class LoadTestError(Mlk8sError):
    pass
