from __future__ import annotations

from typing import Any

import pytest

from nyc311_airflow import outcome


def poll(newest: str | None = "2026-01-30T06:00:00.000Z", **counts: int) -> dict[str, Any]:
    return {
        "id": "0199e3a4",
        "state": "succeeded",
        "newest": {"source_updated_at": newest},
        "counts": dict.fromkeys(outcome.COUNTS, 0) | counts,
        "started_at": "2026-01-31T06:00:00.000Z",
        "finished_at": "2026-01-31T07:00:00.000Z",
    }


def test_counts_add_up_with_what_a_restart_published_again():
    outcome.check_counts(
        poll(fetched=10, republished=2, stored=8, duplicate=2, reenriched=1, dead_lettered=1)
    )


def test_a_row_too_few_is_found():
    with pytest.raises(outcome.OutcomeError, match=r"= 10, but stored 8 .* = 9"):
        outcome.check_counts(poll(fetched=10, stored=8, duplicate=1))


def test_a_poll_that_has_not_succeeded_is_not_right():
    with pytest.raises(outcome.OutcomeError, match="is storing, not succeeded"):
        outcome.check_counts(poll() | {"state": "storing"})


@pytest.mark.parametrize(("letters", "share"), [(0, 0.0), (1, 0.1), (10, 1.0)])
def test_as_many_dead_letters_as_allowed_are_taken(letters, share):
    outcome.check_dead_letters(poll(fetched=10, dead_lettered=letters), share)


def test_more_dead_letters_are_not():
    with pytest.raises(outcome.OutcomeError, match=r"2 of 10 rows .* a share of 0\.2000; allowed is 0\.1"):
        outcome.check_dead_letters(poll(fetched=10, dead_lettered=2), 0.1)


@pytest.mark.parametrize(("limit", "stored"), [(25, None), (60, None), (None, None)])
def test_a_row_of_the_day_before_is_fresh(limit, stored):
    outcome.check_freshness(poll(), stored, limit)


def test_an_older_row_is_not():
    with pytest.raises(outcome.OutcomeError, match=r"25\.0 hours before the poll ended; allowed are 24"):
        outcome.check_freshness(poll(), "2026-01-31T06:00:00.000Z", 24)


def test_where_a_poll_found_nothing_what_is_stored_counts():
    outcome.check_freshness(poll(newest=None), "2026-01-31T06:00:00.000Z", 2)
    with pytest.raises(outcome.OutcomeError, match="no row has been stored yet"):
        outcome.check_freshness(poll(newest=None), None, 2)


def test_a_calm_poll_that_brings_rows_says_that_some_were_lost():
    outcome.check_calm(poll(fetched=3), poll(fetched=3, duplicate=3))
    with pytest.raises(outcome.OutcomeError, match="left 1 rows out of the tables"):
        outcome.check_calm(poll(fetched=3), poll(fetched=3, duplicate=2, stored=1))


def test_a_calm_poll_ends_behind_the_newest_row_and_before_what_may_still_appear():
    assert outcome.calm_until(poll()) == "2026-01-30T06:00:00.001+00:00"
    assert outcome.calm_until(poll(newest="2026-01-31T05:00:00.000Z")) == "2026-01-31T04:00:00.000+00:00"
    with pytest.raises(outcome.OutcomeError, match="found no row"):
        outcome.calm_until(poll(newest=None))


def test_a_game_day_on_which_nothing_struck_has_tried_nothing():
    fault = {"point": None, "stage": "writer", "fault": "kill", "hits": 0, "visits": 4}
    with pytest.raises(outcome.OutcomeError, match="writer kill: 0 of 4 visits"):
        outcome.struck([fault])
    assert (
        outcome.struck([fault, fault | {"hits": 1}])
        == "writer kill: 0 of 4 visits; writer kill: 1 of 4 visits"
    )
    assert outcome.struck([fault | {"fault": "abort", "hits": None}]) == "writer abort: gone with its process"
