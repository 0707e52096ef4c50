"""### Poll the city

Fetches what has changed since the last time, waits until it is in the tables, and looks whether all is well.

| task | |
|---|---|
| `submit` | `POST /v1/polls` without a window: the durable cursor of the service decides what is due |
| `wait` | waits in the triggerer until the poll has ended; a failed poll fails it, with the poll's error |
| `verify` | the counts add up, few rows are dead letters, the newest is fresh; emits `nyc311_tables` |

Clear a failed run to go on: it asks for the same poll again, which resumes at its cursor. A run that is
cleared after a success finds the poll that it had, and fetches nothing. `docs/airflow.md` says what each
failure means.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from nyc311_airflow import defaults, outcome, service, settings
from nyc311_airflow.assets import TABLES
from nyc311_airflow.operators import OutcomeSensor, SubmitOperator

log = logging.getLogger(__name__)

with DAG(
    dag_id="nyc311_poll",
    description="Fetch what New York's 311 has published since the last time",
    doc_md=__doc__,
    schedule=settings.schedule("POLL_SCHEDULE", "@hourly"),
    catchup=False,
    max_active_runs=1,
    default_args=defaults.ARGUMENTS,
    tags=["nyc311", "ingest"],
    params={
        "max_dead_letter_share": defaults.max_dead_letter_share(),
        "freshness_hours": Param(
            settings.number_or_none("FRESHNESS_HOURS", 60, 0, 24 * 365),
            type=["null", "number"],
            minimum=0,
            title="Freshness limit in hours",
            description="The run fails where the newest row is older than this when the poll ends. The city skips"
            " nights, so less than 60 hours is too strict. Empty: any age is taken.",
        ),
    },
) as dag:
    submit = SubmitOperator(
        task_id="submit",
        endpoint="v1/polls",
        execution_timeout=defaults.MOMENT,
        doc_md="Asks for the poll, under the key `dag_id/run_id`.",
    )

    wait = OutcomeSensor(
        task_id="wait",
        endpoint="v1/polls/{{ ti.xcom_pull(task_ids='submit')['id'] }}",
        timeout=defaults.wait_s(),
        doc_md="Waits in the triggerer. Rides out a service that restarts; a failed poll fails it at once.",
    )

    @task(outlets=[TABLES], execution_timeout=defaults.MOMENT)
    def verify(poll: dict[str, Any]) -> dict[str, Any]:
        """Looks at the outcome the way an owner would, and emits the asset with the poll's counts."""
        context = get_current_context()
        params = context["params"]
        pipeline = service.ride_out(
            lambda: service.call("GET", "v1/pipeline", connection=settings.CONNECTION),
            reached_before=True,
        )
        source = pipeline["source"] or {}
        try:
            outcome.check_counts(poll)
            outcome.check_dead_letters(poll, params["max_dead_letter_share"])
            outcome.check_freshness(poll, source.get("stored_updated_at"), params["freshness_hours"])
        except outcome.OutcomeError as wrong:
            raise AirflowFailException(str(wrong)) from wrong
        extra = {"poll_id": poll["id"], **poll["counts"]}
        context["outlet_events"][TABLES].extra = extra
        log.info("in the tables: %s", json.dumps(extra))
        return extra

    submit >> wait >> verify(wait.output)
