"""Whether what a poll has done is what its owner expects. Pure rules: no Airflow, no clock, no network."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

COUNTS = (
    "pages",
    "fetched",
    "published",
    "republished",
    "stored",
    "duplicate",
    "reenriched",
    "dead_lettered",
)


class OutcomeError(Exception):
    """A poll that has ended, and not as it should: says what is wrong, with figures."""


def check_counts(poll: dict[str, Any]) -> None:
    """Holds that the poll has succeeded, and that every row that it fetched is accounted for."""
    if poll["state"] != "succeeded":
        raise OutcomeError(f"poll {poll['id']} is {poll['state']}, not succeeded")
    counts = poll["counts"]
    came = counts["fetched"] + counts["republished"]
    went = counts["stored"] + counts["duplicate"] + counts["reenriched"] + counts["dead_lettered"]
    if came != went:
        raise OutcomeError(
            f"the counts of poll {poll['id']} do not add up: fetched {counts['fetched']}"
            f" + republished {counts['republished']} = {came}, but stored {counts['stored']}"
            f" + duplicate {counts['duplicate']} + reenriched {counts['reenriched']}"
            f" + dead_lettered {counts['dead_lettered']} = {went}"
        )


def check_dead_letters(poll: dict[str, Any], max_share: float) -> None:
    """Holds that no larger share of the rows that arrived is among the dead letters."""
    counts = poll["counts"]
    came = counts["fetched"] + counts["republished"]
    if counts["dead_lettered"] > max_share * came:
        raise OutcomeError(
            f"{counts['dead_lettered']} of {came} rows of poll {poll['id']} became dead letters, a share of"
            f" {counts['dead_lettered'] / came:.4f}; allowed is {max_share:g} (max_dead_letter_share)."
            " nyc311.dead_letter has their reasons"
        )


def check_freshness(poll: dict[str, Any], stored: str | None, limit_hours: float | None) -> None:
    """Holds that the newest row was not older than the limit when the poll ended; without a limit, nothing.

    `stored` is up to when polls from the durable cursor on have stored everything; it stands in where the
    poll found no row at all. The end of the poll, not the present, is what a row's age counts from, so that a
    run which is cleared days later says the same again.
    """
    if limit_hours is None:
        return
    newest = poll["newest"]["source_updated_at"] or stored
    if newest is None:
        raise OutcomeError(f"no row has been stored yet: poll {poll['id']} found none, and no poll before it")
    age = _moment(poll["finished_at"]) - _moment(newest)
    if age > datetime.timedelta(hours=limit_hours):
        raise OutcomeError(
            f"the newest row is of {newest}, {age.total_seconds() / 3600:.1f} hours before the poll ended;"
            f" allowed are {limit_hours:g} (freshness_hours). Either the city has published nothing since,"
            " or the source serves an old state"
        )


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def add_counts(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Adds the counts of several polls up."""
    return {name: sum(of_one.get(name, 0) for of_one in counts) for name in COUNTS}


def differing_months(reconciliation: dict[str, Any]) -> list[str]:
    """Names the months that still differ, with the counts of both sides."""
    return [
        f"{month['month']} (source {month['source_count']}, tables {month['our_count']},"
        f" dead letters {month['dead_lettered']})"
        for month in reconciliation["months"]
        if month["state"] != "agrees"
    ]


def check_calm(disturbed: dict[str, Any], calm: dict[str, Any]) -> None:
    """Holds that a poll without faults over the same window found nothing that the other had lost."""
    counts = calm["counts"]
    if counts["stored"] or counts["reenriched"]:
        raise OutcomeError(
            f"poll {disturbed['id']}, which was disturbed, left {counts['stored']} rows out of the tables and"
            f" {counts['reenriched']} under old rules: poll {calm['id']} over the same window brought them"
        )


def struck(faults: list[dict[str, Any]]) -> str:
    """Says how often each fault has struck; raises where none has, since then nothing was tried.

    A fault whose process ended before it was cleared has no `hits`: an abort did what it was to do.
    """
    if any(fault["hits"] or (fault["hits"] is None and fault["fault"] == "abort") for fault in faults):
        return "; ".join(map(_hits, faults))
    raise OutcomeError(
        f"no fault has struck, so the poll was not disturbed: {'; '.join(map(_hits, faults))}."
        " Choose points that the poll visits, a smaller skip, or more days"
    )


def _hits(fault: dict[str, Any]) -> str:
    where = f"{fault['point'] or fault['stage']} {fault['fault']}"
    if fault["hits"] is None:
        return f"{where}: gone with its process"
    return f"{where}: {fault['hits']} of {fault['visits']} visits"


def calm_until(poll: dict[str, Any]) -> str:
    """Returns the end of the window in which a second poll can find nothing new: just behind the newest row.

    It is no later than two hours before the poll, since what the city stamps with a time appears minutes
    after it.
    """
    newest = poll["newest"]["source_updated_at"]
    if newest is None:
        raise OutcomeError(f"poll {poll['id']} found no row, so nothing was disturbed; choose more days")
    until = min(
        _moment(newest) + datetime.timedelta(milliseconds=1),
        _moment(poll["started_at"]) - datetime.timedelta(hours=2),
    )
    return until.isoformat(timespec="milliseconds")
