"""The DAGs in a whole Airflow, while the service is killed: the tables are those of one calm poll."""

from __future__ import annotations

import pytest

from stack import Stack
from world import World, wait_until


@pytest.fixture
def calm_tables(tmp_path_factory):
    """What one poll of the same city brings, asked for by hand."""
    world = World(tmp_path_factory.mktemp("calm"))
    world.ask("POST", "v1/polls", {})
    wait_until("the poll has succeeded", lambda: world.polls("succeeded"))
    tables = world.tables()
    world.end()
    return tables


@pytest.fixture
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("stacked"))
    yield world
    world.end()


@pytest.fixture
def airflow(tmp_path_factory, world):
    stack = Stack(tmp_path_factory.mktemp("airflow"), world.connection())
    yield stack
    stack.end()


def test_polls_backfills_and_a_killed_service_leave_the_tables_of_one_calm_poll(calm_tables, world, airflow):
    for dag_id in ("nyc311_poll", "nyc311_backfill"):
        airflow.unpause(dag_id)

    # A poll whose service is killed while the triggerer waits for it.
    world.break_city(kind="slow", delay="1s")
    first = airflow.trigger("nyc311_poll")
    wait_until(
        "the wait is deferred", lambda: airflow.states("nyc311_poll", first).get("wait/-1") == "deferred"
    )
    wait_until("the poll runs", lambda: world.polls("running"))
    world.kill_service()
    world.start_service()
    world.break_city()
    assert airflow.ended("nyc311_poll", first) == "success"
    assert set(airflow.states("nyc311_poll", first).values()) == {"success"}
    events = airflow.ask("GET", "assets/events?source_dag_id=nyc311_poll")["asset_events"]
    assert events[0]["extra"]["fetched"] >= 3000

    # A run by hand over a year and one of `airflow backfill` over a quarter, with a poll in between.
    by_hand = airflow.trigger("nyc311_backfill", since="2025-04-01", until="2026-04-01")
    airflow.ask(
        "POST",
        "backfills",
        {
            "dag_id": "nyc311_backfill",
            "from_date": "2025-12-01T00:00:00Z",
            "to_date": "2026-02-28T00:00:00Z",
            "max_active_runs": 2,
            "dag_run_conf": {},
        },
    )
    between = airflow.trigger("nyc311_poll")
    assert airflow.ended("nyc311_poll", between) == "success"
    assert airflow.ended("nyc311_backfill", by_hand) == "success"
    months = [run for run in airflow.runs("nyc311_backfill") if run["run_type"] == "backfill"]
    assert len(months) == 3
    for run in months:
        assert airflow.ended("nyc311_backfill", run["dag_run_id"]) == "success"

    # What the monthly schedule makes on its own does nothing, and says so.
    for run in airflow.runs("nyc311_backfill"):
        if run["run_type"] == "scheduled":
            assert airflow.ended("nyc311_backfill", run["dag_run_id"]) == "success"
            assert airflow.states("nyc311_backfill", run["dag_run_id"])["plan/-1"] == "skipped"

    # The same run again, cleared: its own poll, and no other.
    polls = len(world.polls())
    airflow.ask("POST", f"dags/nyc311_poll/dagRuns/{first}/clear", {"dry_run": False, "only_failed": False})
    assert airflow.ended("nyc311_poll", first) == "success"
    assert len(world.polls()) == polls

    windows = {
        poll["idempotency_key"].split("/", 2)[2]
        for poll in world.polls()
        if "nyc311_backfill" in poll["idempotency_key"]
    }
    assert {f"created_date/2025-{month:02}-01/2025-{month + 1:02}-01" for month in range(4, 12)} <= windows
    assert {poll["state"] for poll in world.polls()} == {"succeeded"}
    assert world.tables() == calm_tables
