"""The OpenAPI schemas that the package kubernetes-validate brings, read without importing it."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from mlk8s.assess.schema import Schemas
from mlk8s.errors import UsageError

_PACKAGE = "kubernetes_validate"


@lru_cache(1)
def load_schemas(version: str = "newest") -> tuple[Schemas | None, str]:
    """Return the schemas of a Kubernetes version, such as '1.35'; None and a sentence where there are none.

    Raises:
        UsageError: the package has no such version; names those that it has.
    """
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None, "the fields are not checked: pip install 'mlk8s[lint]' brings Kubernetes' schemas"
    import orjson

    folders = {}
    for folder in (Path(package.origin).parent / "kubernetes-json-schema").glob("v*-local-strict"):
        number = re.match(r"v(\d+)\.(\d+)", folder.name)
        if number:
            folders[int(number[1]), int(number[2])] = folder
    wanted = max(folders) if version == "newest" else _number(version)
    if wanted not in folders:
        known = ", ".join(f"{major}.{minor}" for major, minor in sorted(folders))
        raise UsageError(f"there are no schemas of Kubernetes {version}", expected=f"one of {known}; or none")
    text = (folders[wanted] / "_definitions.json").read_bytes()
    return Schemas(orjson.loads(text)["$defs"]), ""


def _number(version: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+)?", version)
    return (int(found[1]), int(found[2])) if found else None
