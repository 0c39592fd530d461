"""How a service's pods are replaced by those of a new version: which settings belong to which strategy."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator

Strategy = Literal["RollingUpdate", "Recreate", "BlueGreen"]

DEFAULT_SURGE = 1
DEFAULT_UNAVAILABLE = 0
DEFAULT_RETAIN = 300.0
"""Seconds that the old colour stays after a blue/green switch."""


def _int_or_percent(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000:
        return value
    if isinstance(value, str) and re.fullmatch(r"(\d|[1-9]\d|100)%", value):
        return value
    raise ValueError("expected a number of pods, 0 to 1000, or a share of them, '0%' to '100%'")


IntOrPercent = Annotated[int | str, BeforeValidator(_int_or_percent)]


def check_strategy(
    strategy: Strategy,
    max_surge: int | str | None,
    max_unavailable: int | str | None,
    retain: float | None,
) -> None:
    """Refuse settings that their strategy would ignore, and a rolling update that could not move.

    Raises:
        ValueError: names the setting and the strategy that it belongs to.
    """
    for name, value in (("max_surge", max_surge), ("max_unavailable", max_unavailable)):
        if value is not None and strategy != "RollingUpdate":
            why = {
                "Recreate": "it ends every pod before it starts a new one",
                "BlueGreen": "it starts all new pods beside the old ones",
            }[strategy]
            raise ValueError(f"{name} is given with strategy {strategy!r}, which has no use for it: {why}")
    if retain is not None and strategy != "BlueGreen":
        raise ValueError(f"retain is given with strategy {strategy!r}; only 'BlueGreen' keeps the old pods")
    surge = DEFAULT_SURGE if max_surge is None else max_surge
    unavailable = DEFAULT_UNAVAILABLE if max_unavailable is None else max_unavailable
    if strategy == "RollingUpdate" and {surge, unavailable} <= {0, "0%"}:
        raise ValueError(
            "max_surge and max_unavailable are both 0, so that no pod could ever be replaced; expected at "
            "least one of them above 0"
        )
