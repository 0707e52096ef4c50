"""Runs DAGs in this process, by `dag.test()`, and tells what became of them."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

DAYS_BEFORE = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


@dataclass
class Run:
    """A run that has ended: the states, attempts and results of its tasks, by task, or task[index] where mapped."""

    run_id: str
    state: str
    states: dict[str, str]
    tries: dict[str, int]
    results: dict[str, Any]


def dag_bag() -> DagBag:
    """Reads the DAGs anew: `dag.test` leaves the params of a run in the DAG."""
    return DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])


def run(dag_id: str, number: int, connection: str, **params: Any) -> Run:
    """Runs a DAG; with the number of a run before it, it is that run, cleared and run again."""
    os.environ["AIRFLOW_CONN_NYC311"] = connection
    dag = dag_bag().get_dag(dag_id)
    for task in dag.tasks:
        # Of a test, which would wait the real ones out.
        task.retry_delay = datetime.timedelta(milliseconds=10)
        task.max_retry_delay = datetime.timedelta(milliseconds=20)
        if hasattr(task, "poke_interval"):
            task.poke_interval = 0.5
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
        )


def _name(of_task: Any) -> str:
    return of_task.task_id if of_task.map_index < 0 else f"{of_task.task_id}[{of_task.map_index}]"
