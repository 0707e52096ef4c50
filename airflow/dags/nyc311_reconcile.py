"""### Hold the source's counts against the tables

Once a day, some hours after the city has published: `POST /v1/reconciliations` counts both sides by month,
polls months that differ again, and marks rows that are gone from the source. `wait` fails with the months
that still differ.

Clear `submit` and what follows it to reconcile again under the same key. `docs/reconciliation.md` says what
is compared.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from nyc311_airflow import defaults, settings
from nyc311_airflow.operators import OutcomeSensor, SubmitOperator

with DAG(
    dag_id="nyc311_reconcile",
    description="Compare the tables with New York's 311 by month, and repair what differs",
    doc_md=__doc__,
    schedule=settings.schedule("RECONCILE_SCHEDULE", "0 9 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=defaults.ARGUMENTS,
    tags=["nyc311", "quality"],
    params={
        "since": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First day",
            description="The month that it lies in is the first. Empty: from the first month on.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day behind the last",
            description="Exclusive; the month that it lies in, or ends, is the last. Empty: to the last month.",
        ),
    },
) as dag:
    submit = SubmitOperator(
        task_id="submit",
        endpoint="v1/reconciliations",
        data='{"since": {{ params.since | tojson }}, "until": {{ params.until | tojson }}}',
        execution_timeout=defaults.MOMENT,
        doc_md="Asks for the reconciliation, under the key `dag_id/run_id`.",
    )

    wait = OutcomeSensor(
        task_id="wait",
        endpoint="v1/reconciliations/{{ ti.xcom_pull(task_ids='submit')['id'] }}",
        timeout=defaults.wait_s(),
        doc_md="Waits in the triggerer; fails with the months that differ.",
    )

    submit >> wait
