"""What every spec with pods has in common, whatever its pods are for."""

from __future__ import annotations

from typing import Any, TypeVar

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Name


class Pulled(Spec):
    """Pods whose images may come from a registry that wants a login.

    Attributes:
        image_pull_secrets: Secrets (kubernetes.io/dockerconfigjson) of the namespace; none means those of the
            tenant that the namespace belongs to.
    """

    image_pull_secrets: tuple[Name, ...] = ()


S = TypeVar("S", bound=Spec)


def pulled_with(spec: S, names: tuple[str, ...]) -> S:
    """Return the spec, or that with the pods inside it, with these Secrets where it names none."""
    changes: dict[str, Any] = {}
    if isinstance(spec, Pulled):
        changes = {} if spec.image_pull_secrets else {"image_pull_secrets": names}
    else:
        changes = {name: pulled_with(value, names) for name, value in spec if isinstance(value, Pulled)}
    changed: S = spec.replace(**changes) if changes and names else spec
    return changed
