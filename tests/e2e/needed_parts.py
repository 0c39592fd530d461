"""Have the parts that the end-to-end tests need before the first begins: a build outlasts a test."""

from __future__ import annotations

from mlk8s.local import packages, parts
from mlk8s.local.pins import PARTS
from mlk8s.local.progress import open_progress


def main() -> None:
    """Install Debian's packages, then fetch or build each part that the cache lacks."""
    with open_progress() as progress:
        packages.ensure(progress=progress, yes=True)
        parts.ensure(PARTS, progress=progress)
    parts.forget_sources()


if __name__ == "__main__":
    main()
