"""Each DAG against the service itself."""

from __future__ import annotations

import re
import threading

import pytest
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import select

from front import Front
from nyc311_airflow import outcome, service
from runs import run
from world import World, free_port, sql, wait_until

# The simulated city's last day lies in the past, whatever the day is.
ANY_AGE = {"freshness_hours": None}


@pytest.fixture(scope="module")
def world(tmp_path_factory, airflow_database):
    world = World(tmp_path_factory.mktemp("world"), NYC311_RECONCILIATION__PAUSE="0s")
    yield world
    world.end()


@pytest.fixture(autouse=True)
def city(world):
    """Each test begins with a city that behaves."""
    world.break_city()


def asset_events() -> list[dict]:
    with create_session() as session:
        return [event.extra for event in session.scalars(select(AssetEvent).order_by(AssetEvent.id))]


def test_a_run_polls_and_emits_the_asset_with_its_counts_and_again_when_cleared(world):
    first = run("nyc311_poll", 1, world.connection(), **ANY_AGE)
    assert (first.state, first.states) == ("success", dict.fromkeys(["submit", "wait", "verify"], "success"))
    poll = first.results["wait"]
    assert poll["idempotency_key"] == f"nyc311_poll/{first.run_id}"
    assert poll["counts"]["fetched"] >= 3000
    assert asset_events() == [{"poll_id": poll["id"], **poll["counts"]}]
    before = world.tables()

    again = run("nyc311_poll", 1, world.connection(), **ANY_AGE)
    assert again.state == "success"
    assert again.run_id == first.run_id
    assert again.results["wait"] == poll
    assert len(world.polls()) == 1
    assert world.tables() == before

    later = run("nyc311_poll", 2, world.connection(), **ANY_AGE)
    assert later.results["wait"]["id"] != poll["id"]
    assert later.results["wait"]["counts"]["stored"] == 0
    assert world.tables() == before


def test_a_failed_poll_fails_the_wait_with_its_error_and_a_cleared_run_resumes_it(world):
    world.break_city(kind="server_error", status=400)
    failed = run("nyc311_poll", 3, world.connection(), **ANY_AGE)
    assert (failed.state, failed.states["wait"], failed.states["verify"]) == (
        "failed",
        "failed",
        "upstream_failed",
    )
    assert failed.tries["wait"] == 1, "a failed poll is not waited for again"
    assert "failed in poller, source_rejected" in failed.errors["wait"]

    world.break_city()
    resumed = run("nyc311_poll", 3, world.connection(), **ANY_AGE)
    assert resumed.state == "success"
    assert resumed.results["wait"]["id"] == failed.results["submit"]["id"]
    assert resumed.results["wait"]["attempt"] == 2


def test_a_service_that_is_killed_in_the_middle_is_ridden_out(world):
    world.break_city(kind="slow", delay="1s")

    def restart() -> None:
        wait_until("the poll runs", lambda: world.polls("running"))
        world.kill_service()
        world.start_service()
        world.break_city()

    breaking = threading.Thread(target=restart)
    breaking.start()
    ended = run(
        "nyc311_backfill", 1, world.connection(), since="2000-01-01", until="2100-01-01", window="whole"
    )
    breaking.join()
    assert ended.state == "success"
    assert ended.results["poll_windows[0]"]["fetched"] >= 3000


def test_what_passes_is_ridden_out_by_submit_and_wait(world):
    with Front(world.port, POST=[503, 429], GET=[503, 429, 500]) as front:
        ended = run("nyc311_poll", 4, world.connection(front.port), **ANY_AGE)
    assert ended.state == "success"
    assert front.statuses == {"POST": [], "GET": []}
    assert set(ended.tries.values()) == {1}, "a short absence costs no attempt"


def test_a_wait_that_is_refused_fails_at_once(world):
    with Front(world.port, GET=[401]) as front:
        ended = run("nyc311_poll", 9, world.connection(front.port), **ANY_AGE)
    assert (ended.state, ended.states["wait"], ended.tries["wait"]) == ("failed", "failed", 1)
    assert "The token of the connection nyc311 is missing or wrong" in ended.errors["wait"]


def test_a_wrong_token_fails_without_a_retry_and_says_so(world):
    ended = run("nyc311_poll", 5, world.connection(token="another"), **ANY_AGE)  # noqa: S106
    assert (ended.state, ended.states["submit"], ended.tries["submit"]) == ("failed", "failed", 1)
    assert "The token of the connection nyc311 is missing or wrong" in ended.errors["submit"]


def test_a_wrong_address_fails_without_a_retry_and_says_so(world, monkeypatch):
    monkeypatch.setattr(service, "PATIENCE_S", 2.0)
    port = free_port()
    ended = run("nyc311_poll", 6, world.connection(port), **ANY_AGE)
    assert (ended.state, ended.states["submit"], ended.tries["submit"]) == ("failed", "failed", 1)
    assert f"no answer from http://127.0.0.1:{port}/v1/polls: Connection refused" in ended.errors["submit"]


def test_rows_that_are_too_old_and_too_many_dead_letters_fail_the_verification(world):
    stale = run("nyc311_poll", 7, world.connection())
    assert (stale.state, stale.states["wait"], stale.states["verify"]) == ("failed", "success", "failed")
    assert "allowed are 60 (freshness_hours)" in stale.errors["verify"]

    before = len(asset_events())
    world.break_city(kind="malformed_row", count=1)
    spoiled = run("nyc311_poll", 8, world.connection(), max_dead_letter_share=0, **ANY_AGE)
    assert (spoiled.state, spoiled.states["verify"], spoiled.tries["verify"]) == ("failed", "failed", 1)
    assert "allowed is 0 (max_dead_letter_share)" in spoiled.errors["verify"]
    assert len(asset_events()) == before, "what is not right is no event"


def test_a_backfill_in_monthly_windows_changes_nothing_and_resumes_where_a_window_failed(world):
    before, polls = world.tables(), len(world.polls())
    year = {"since": "2025-04-01", "until": "2026-04-01"}
    world.break_city(kind="server_error", status=400, skip=5, count=1)
    failed = run("nyc311_backfill", 2, world.connection(), **year)
    assert failed.state == "failed"
    assert re.search(
        r'window \d of 6 \{"on": "created_date", .*\}, failed in poller, source_rejected', str(failed.errors)
    )
    assert "upstream_failed" in failed.states["verify"]

    world.break_city()
    ended = run("nyc311_backfill", 2, world.connection(), **year)
    assert ended.state == "success"
    assert sorted(name for name in ended.states if name.startswith("poll_windows")) == [
        "poll_windows[0]",
        "poll_windows[1]",
    ]
    of_year = world.polls()[: len(world.polls()) - polls]
    assert len(of_year) == 12, "each window has one poll, however often the run is cleared"
    assert {poll["state"] for poll in of_year} == {"succeeded"}
    assert max(poll["attempt"] for poll in of_year) == 2
    assert ended.results["verify"] == outcome.add_counts(poll["counts"] for poll in of_year)
    assert ended.results["verify"]["stored"] == 0
    assert world.tables() == before


def test_a_backfill_without_a_stretch_says_what_it_needs(world):
    ended = run("nyc311_backfill", 3, world.connection(), since="2026-01-01")
    assert (ended.state, ended.states["plan"], ended.tries["plan"]) == ("failed", "failed", 1)
    assert "until is None: a run by hand needs both" in ended.errors["plan"]


def test_a_game_day_disturbs_a_poll_loses_nothing_and_clears_what_it_armed(world):
    before = world.tables()
    ended = run("nyc311_game_day", 1, world.connection(), days=60)
    assert ended.state == "success", ended.states
    assert [fault["state"] for fault in ended.results["clear"]].count("spent") >= 1
    assert world.get("v1/faults")["faults"] == []
    assert world.tables() == before


def test_a_game_day_clears_what_it_armed_though_the_poll_failed(world):
    fault = {"point": "writer:commit:after", "fault": "panic", "skip": 100000}
    world.break_city(kind="server_error", status=400)
    ended = run("nyc311_game_day", 2, world.connection(), faults=[fault])
    assert (ended.state, ended.states["wait"], ended.states["clear"]) == ("failed", "failed", "success")
    assert ended.states["verify"] == "upstream_failed"
    assert world.get("v1/faults")["faults"] == []


def test_a_game_day_arms_all_faults_or_none(world):
    faults = [{"stage": "writer", "fault": "kill", "skip": 100000}, {"stage": "no_stage", "fault": "kill"}]
    ended = run("nyc311_game_day", 3, world.connection(), faults=faults)
    assert (ended.state, ended.states["arm"]) == ("failed", "failed")
    assert "no_stage" in ended.errors["arm"]
    assert world.get("v1/faults")["faults"] == []


def test_a_reconciliation_succeeds_and_one_that_fails_names_the_months(world):
    agreed = run("nyc311_reconcile", 1, world.connection())
    assert (agreed.state, agreed.results["wait"]["state"]) == ("success", "succeeded")

    # What no poll repairs: the source's version is the older one, and is refused.
    month = sql(
        "update nyc311.service_request set source_updated_at = source_updated_at + interval '1 year'"
        " where unique_key = (select max(unique_key) from nyc311.service_request where created_at < '2026-03-10')"
        " returning to_char(created_at at time zone 'America/New_York', 'YYYY-MM')",
        world.database,
    )
    failed = run("nyc311_reconcile", 2, world.connection())
    assert (failed.state, failed.states["wait"], failed.tries["wait"]) == ("failed", "failed", 1)
    assert "difference_stays" in failed.errors["wait"]
    assert f"months that differ: {month} (source" in failed.errors["wait"]


def test_a_game_day_refuses_to_run_where_faults_are_not_enabled(world):
    world.service.end()
    world.service.settings["NYC311_FAULTS__ENABLED"] = "false"
    world.start_service()
    ended = run("nyc311_game_day", 4, world.connection())
    assert (ended.state, ended.states["window"], ended.tries["window"]) == ("failed", "failed", 1)
    assert "A game day runs only where the service has faults.enabled" in ended.errors["window"]
