"""Runs DAGs in this process, by `dag.test()`, and tells what became of them."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.utils.session import create_session
from sqlalchemy import select

from nyc311_airflow.operators import OutcomeSensor, WindowsOperator

DAYS_BEFORE = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


@dataclass
class Run:
    """A run that has ended. Of its tasks, as `task` or `task[index]`: state, attempts, result, error."""

    run_id: str
    state: str
    states: dict[str, str]
    tries: dict[str, int]
    results: dict[str, Any]
    errors: dict[str, str]


def dag_bag() -> DagBag:
    """Reads the DAGs anew: `dag.test` leaves the params of a run in the DAG."""
    return DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])


def run(dag_id: str, number: int, connection: str, **params: Any) -> Run:
    """Runs a DAG; with the number of a run before it, it is that run, cleared and run again."""
    os.environ["AIRFLOW_CONN_NYC311"] = connection
    dag = dag_bag().get_dag(dag_id)
    errors: dict[str, str] = {}

    def note(context: Any) -> None:
        errors[_name(context["ti"])] = str(context["exception"])

    for task in dag.tasks:
        # Of a test, which would wait the real ones out.
        changes = {
            "retry_delay": datetime.timedelta(milliseconds=10),
            "max_retry_delay": datetime.timedelta(milliseconds=20),
            "on_failure_callback": [note],
        }
        if getattr(task, "operator_class", type(task)) in (OutcomeSensor, WindowsOperator):
            changes["poke_interval"] = 0.5
        for name, value in changes.items():
            if isinstance(task, MappedOperator):
                task.partial_kwargs[name] = value
            else:
                setattr(task, name, value)
    when = DAYS_BEFORE + datetime.timedelta(days=number)
    ended = dag.test(logical_date=when, run_after=when, run_conf=params)
    with create_session() as session:
        instances = session.scalars(
            select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == ended.run_id)
        ).all()
        rows = session.scalars(
            select(XComModel).where(
                XComModel.dag_id == dag_id, XComModel.run_id == ended.run_id, XComModel.key == "return_value"
            )
        ).all()
        return Run(
            ended.run_id,
            str(ended.state),
            {_name(instance): str(instance.state) for instance in instances},
            {_name(instance): instance.try_number for instance in instances},
            {_name(row): XComModel.deserialize_value(row) for row in rows},
            errors,
        )


def _name(of_task: Any) -> str:
    mapped = of_task.map_index is not None and of_task.map_index >= 0
    return of_task.task_id if not mapped else f"{of_task.task_id}[{of_task.map_index}]"
