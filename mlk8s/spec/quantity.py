"""Kubernetes quantities as numbers; free of pydantic, so that a linter starts in no time."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_SCALE = {
    None: Decimal(1), "m": Decimal("0.001"), "k": Decimal(10) ** 3, "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9, "T": Decimal(10) ** 12, "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(1024), "Mi": Decimal(1024) ** 2, "Gi": Decimal(1024) ** 3, "Ti": Decimal(1024) ** 4,
    "Pi": Decimal(1024) ** 5, "Ei": Decimal(1024) ** 6,
}  # fmt: skip


def parse_quantity(value: str) -> Decimal:
    """Return a Kubernetes quantity as a number: cores for CPU, bytes for memory.

    Raises:
        ValueError: when the text is not a quantity.
    """
    found = _QUANTITY.fullmatch(value)
    if not found:
        raise ValueError("expected a Kubernetes quantity such as '250m', '1', '512Mi' or '2Gi'")
    return Decimal(found[1]) * _SCALE[found[2]]
