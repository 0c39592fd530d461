"""A version that answers nobody: what it has to show beside the stable one."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from mlk8s.spec.analysis import Budget, Errors
from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds
from mlk8s.spec.urls import Digest, ModelUrl

MAX_BLOCKS = 5_000
MAX_BODY = 1 << 20
"""Bytes of a body up to which a request is mirrored: the ingress controller holds it in memory meanwhile."""
SliceName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^,\s]([^,]*[^,\s])?$")]


class Shadow(Spec):
    """A new model version that gets a copy of a service's requests, and whose answers nobody gets.

    Attributes:
        model: s3://, pvc:// or https:// of the new version.
        digest: sha256:... of its manifest; filled in like ModelService.digest.
        bound: largest accepted share of requests that both versions answer differently.
        percent: share of the requests that is mirrored, 1 to 100.
        output: the model's output that is compared; None compares all of them.
        round: decimals that fractions are rounded to before they are compared; None leaves them.
        slices: names of the groups of requests that are tested beside all of them; empty takes the twenty
            that come most often.
        alpha: probability of any wrong 'differ', over all slices.
        beta: probability of a wrong 'agree' of one slice.
        errors, burst: what is assumed of requests in one block, as in Analysis.
        block: length of a time block: answers are read once a block.
        deadline: time after which what is not decided stays so.
        replicas: pods of the shadow.
        max_body: bytes of a body up to which a request is mirrored; a larger one is only answered.
    """

    model: ModelUrl
    digest: Digest | None = None
    bound: Annotated[float, Field(gt=0, lt=1)] = 0.02
    percent: Annotated[int, Field(ge=1, le=100, strict=True)] = 100
    output: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    round: Annotated[int, Field(ge=0, le=12, strict=True)] | None = 3
    slices: Annotated[tuple[SliceName, ...], Field(max_length=100)] = ()
    alpha: Budget = 0.01
    beta: Budget = 0.01
    errors: Errors = "adaptive"
    burst: Annotated[int, Field(ge=2, le=10_000, strict=True)] | None = None
    block: Annotated[Seconds, Field(ge=2, le=600)] = 10.0
    deadline: Annotated[Seconds, Field(gt=0, le=86_400)] = 300.0
    replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    max_body: Annotated[int, Field(ge=1024, le=64 << 20, strict=True)] = MAX_BODY

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.block <= self.deadline <= MAX_BLOCKS * self.block:
            raise ValueError(
                f"deadline is {self.deadline:g} s; expected 1 to {MAX_BLOCKS:,} blocks of {self.block:g} s"
            )
        if self.burst is not None and self.errors == "independent":
            raise ValueError(f"burst is {self.burst}; expected none with errors='independent'")
        if len(set(self.slices)) < len(self.slices) or "all" in self.slices:
            raise ValueError("slices has a name twice, or 'all', which is always tested; expected each once")
        return self
