from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import BaseSensorOperator, CronDataIntervalTimetable

from runs import dag_bag

AIRFLOW = Path(__file__).resolve().parents[1]
IDS = ["nyc311_backfill", "nyc311_game_day", "nyc311_poll", "nyc311_reconcile"]


@pytest.fixture(scope="module")
def dags(airflow_database):
    bag = dag_bag()
    assert bag.import_errors == {}
    return bag.dags


def test_all_dags_load(dags):
    assert sorted(dags) == IDS


@pytest.mark.parametrize("dag_id", IDS)
def test_a_dag_can_be_used_from_the_ui(dags, dag_id):
    dag = dags[dag_id]
    assert "nyc311" in dag.tags
    assert dag.doc_md
    assert dag.description
    assert not dag.catchup
    assert 1 <= dag.max_active_runs <= 2
    assert len(dag.params) > 0
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema.get("type"), f"{name} has no type"
        assert param.description, f"{name} has no description"


@pytest.mark.parametrize("dag_id", IDS)
def test_tasks_are_retried_with_growing_delay_and_end_in_time(dags, dag_id):
    for task in dags[dag_id].tasks:
        arguments = getattr(task, "partial_kwargs", None) or vars(task)
        assert task.retries >= 2, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        if "http_conn_id" in arguments or isinstance(task, HttpOperator):
            bound = arguments.get("timeout") if isinstance(task, BaseSensorOperator) else arguments
            assert bound, task.task_id
        if isinstance(task, HttpOperator):
            assert task.http_conn_id == "nyc311"
            assert not task.deferrable, "a triggerer that is replaced would ask again"
            assert task.execution_timeout is not None


def test_schedules_are_what_is_documented(dags):
    assert dags["nyc311_poll"].timetable.expression in ("@hourly", "0 * * * *")
    assert dags["nyc311_reconcile"].timetable.expression == "0 9 * * *"
    assert isinstance(dags["nyc311_backfill"].timetable, CronDataIntervalTimetable)
    assert dags["nyc311_game_day"].schedule is None
    assert dags["nyc311_game_day"].is_paused_upon_creation


def test_settings_change_schedules_and_limits(airflow_database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_NYC311_POLL_SCHEDULE", "*/15 * * * *")
    monkeypatch.setenv("AIRFLOW_NYC311_RECONCILE_SCHEDULE", "none")
    monkeypatch.setenv("AIRFLOW_NYC311_FRESHNESS_HOURS", "none")
    monkeypatch.setenv("AIRFLOW_NYC311_MAX_DEAD_LETTER_SHARE", "0.5")
    dags = dag_bag().dags
    assert dags["nyc311_poll"].timetable.expression == "*/15 * * * *"
    assert dags["nyc311_reconcile"].schedule is None
    assert dags["nyc311_poll"].params["freshness_hours"] is None
    assert dags["nyc311_backfill"].params["max_dead_letter_share"] == 0.5


def test_a_setting_that_cannot_be_used_is_an_import_error_with_its_name(airflow_database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_NYC311_FRESHNESS_HOURS", "two days")
    errors = dag_bag().import_errors
    assert len(errors) == 1
    assert 'AIRFLOW_NYC311_FRESHNESS_HOURS is "two days"; write a number' in str(errors)


@pytest.fixture(scope="module")
def fresh():
    """What a process finds that has imported nothing yet, and whose every connection fails."""
    program = f"""
import json, runpy, socket, sys
sys.path.append({str(AIRFLOW / "plugins")!r})
from airflow._shared.module_loading import import_string
def refuse(*_):
    raise AssertionError("an import that connects")
socket.socket.connect = socket.socket.connect_ex = refuse

trigger = import_string("nyc311_airflow.trigger.OutcomeTrigger")("c", "v1/polls/1", 5.0, "2026-01-01T00:00:00+00:00")
path, kwargs = trigger.serialize()
again = import_string(path)(**kwargs).serialize() == (path, kwargs)
def files():
    return {{name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}}
of_dags = [name for name, file in files().items() if "airflow/dags" in file]

dags = [runpy.run_path({str(AIRFLOW / "dags")!r} + "/" + name + ".py")["dag"].dag_id for name in {IDS!r}]

from airflow import plugins_manager
plugins_manager._get_plugins()
ours = [name for name, file in files().items() if "nyc311_airflow" in file]
print(json.dumps({{"again": again, "of_dags": of_dags, "dags": dags, "ours": ours}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_trigger_is_importable_without_the_dags_folder_and_survives_its_serialization(fresh):
    assert fresh["again"]
    assert fresh["of_dags"] == []


def test_importing_a_dag_asks_nobody(fresh):
    assert fresh["dags"] == IDS


def test_the_package_leaves_no_stray_modules_as_plugins(fresh):
    """Airflow runs each file of the plugins folder under its bare name, unless it is told not to."""
    assert "nyc311_airflow.trigger" in fresh["ours"]
    assert [name for name in fresh["ours"] if not name.startswith("nyc311_airflow")] == []
