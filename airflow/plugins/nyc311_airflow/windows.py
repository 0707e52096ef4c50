"""Cuts a range of days into the windows of a backfill, and deals them out to lanes."""

from __future__ import annotations

import datetime

SIZES = ("day", "week", "month", "year", "whole")

# A run of more would be a slip of the pen: it is a century of months.
MOST_WINDOWS = 1200


class WindowError(ValueError):
    """A range or size that gives no windows: says what to write."""


def day(name: str, text: str) -> datetime.date:
    """Reads a day as 2026-01-31."""
    try:
        return datetime.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise WindowError(f'{name} is "{text}"; write a day, as 2026-01-31') from None


def cut(since: datetime.date, until: datetime.date, size: str) -> list[tuple[datetime.date, datetime.date]]:
    """Returns the half-open windows, oldest first, that together are [since, until).

    Months and years end at their calendar's end, so the first and the last window may be shorter.
    """
    if size not in SIZES:
        raise WindowError(f'window is "{size}"; write one of {", ".join(SIZES)}')
    if since >= until:
        raise WindowError(f"since is {since} and until is {until}; until is exclusive and must be later")
    windows = []
    start = since
    while start < until:
        end = until if size == "whole" else min(_next(start, size), until)
        windows.append((start, end))
        start = end
        if len(windows) > MOST_WINDOWS:
            raise WindowError(
                f"{since} to {until} by {size} is more than {MOST_WINDOWS} windows; choose a larger window"
            )
    return windows


def deal(windows: list, lanes: int) -> list[list]:
    """Deals windows out in turn, so that all lanes go through the range together; no lane is empty."""
    return [windows[lane::lanes] for lane in range(min(lanes, len(windows)))]


def _next(start: datetime.date, size: str) -> datetime.date:
    if size == "day":
        return start + datetime.timedelta(days=1)
    if size == "week":
        return start + datetime.timedelta(days=7)
    if size == "month":
        return (start.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    return datetime.date(start.year + 1, 1, 1)
