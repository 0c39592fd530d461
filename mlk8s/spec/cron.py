"""The cron schedule syntax that the CronJob controller accepts (robfig/cron standard parser)."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
_MACROS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}


def check_schedule(schedule: str) -> None:
    """Check a cron schedule.

    Raises:
        ValueError: naming the field, its text and its range.
    """
    if schedule in _MACROS:
        return
    if "TZ=" in schedule:
        raise ValueError("expected no TZ= in the schedule: use time_zone")
    parts = schedule.split()
    if len(parts) != 5:
        raise ValueError(
            f"expected five cron fields (minute hour day month weekday) or {', '.join(sorted(_MACROS))}"
        )
    for text, (name, low, high, names) in zip(parts, _FIELDS, strict=True):
        for item in text.split(","):
            _check_item(item, name, low, high, names)


def _check_item(item: str, name: str, low: int, high: int, names: dict[str, int]) -> None:
    found = re.fullmatch(r"(\*|\?|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?", item)
    if not found:
        raise ValueError(f"{name} {item!r}: expected *, a number, a range a-b, or a step /n")
    start, end, step = found.groups()
    values = [
        _number(text, item, name, low, high, names) for text in (start, end) if text and text not in "*?"
    ]
    if start in "*?" and end:
        raise ValueError(f"{name} {item!r}: expected *, a number, a range a-b, or a step /n")
    if len(values) == 2 and values[0] > values[1]:
        raise ValueError(f"{name} {item!r}: expected a range whose start is not above its end")
    if step is not None and int(step) == 0:
        raise ValueError(f"{name} {item!r}: expected a step of 1 or more")


def _number(text: str, item: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    value = names.get(text.lower(), int(text) if text.isdigit() else -1)
    if not low <= value <= high:
        raise ValueError(f"{name} {item!r}: expected {low} to {high}")
    return value
