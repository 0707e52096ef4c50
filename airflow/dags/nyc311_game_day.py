"""### Break the service on purpose, and see that nothing is lost

Paused at first, and only by hand. It refuses to run where the service has no `faults.enabled`.

| task | |
|---|---|
| `window` | are faults allowed? Then the last `days` before the durable cursor, and all since |
| `arm` | arms the faults |
| `submit`, `wait` | poll the window while they strike |
| `clear` | clears what `arm` has armed, whatever happened; else it ends after `expires_minutes` |
| `calm`, `submit_again`, `wait_again` | poll the same window without faults |
| `verify` | a fault has struck, the counts add up, the second poll found nothing lost, the service is ready |

Trigger a new run to repeat it: a run that is cleared finds its poll done, and disturbs nothing.
"""

from __future__ import annotations

import datetime
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from nyc311_airflow import defaults, outcome, service, settings
from nyc311_airflow import faults as game
from nyc311_airflow.operators import OutcomeSensor, SubmitOperator

FAULTS = [
    {"point": "poller:fetch:before", "fault": "error", "error": "throttled"},
    {"stage": "enricher", "fault": "panic"},
    {"stage": "enriched_publisher", "fault": "kill"},
    {"point": "writer:commit:after", "fault": "error", "error": "timeout"},
]

with DAG(
    dag_id="nyc311_game_day",
    description="Arm faults, poll, and see that the outcome is right all the same",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=True,
    catchup=False,
    max_active_runs=1,
    default_args=defaults.ARGUMENTS,
    tags=["nyc311", "game-day"],
    params={
        "faults": Param(
            FAULTS,
            type="array",
            minItems=1,
            items={"type": "object", "required": ["fault"]},
            title="Faults",
            description="Bodies of POST /v1/faults; GET /v1/faults lists the points, their errors and the stages.",
        ),
        "days": Param(
            7,
            type="integer",
            minimum=1,
            maximum=3660,
            title="Days",
            description="How far before the durable cursor the window begins.",
        ),
        "expires_minutes": Param(
            15,
            type="integer",
            minimum=1,
            maximum=60,
            title="Minutes",
            description="After which a fault ends by itself, should it not be cleared.",
        ),
        "max_dead_letter_share": defaults.max_dead_letter_share(),
    },
) as dag:

    @task(execution_timeout=defaults.MOMENT)
    def window() -> dict[str, str]:
        """Refuses where faults are not enabled; returns where the window begins."""
        context = get_current_context()
        game.refuse_where_disabled(settings.CONNECTION)
        pipeline = service.ride_out(
            lambda: service.call("GET", "v1/pipeline", connection=settings.CONNECTION)
        )
        cursor = (pipeline["source"] or {}).get("stored_updated_at")
        if cursor is None:
            raise AirflowFailException(
                "nothing has been polled yet, so there is no window; run nyc311_poll first"
            )
        since = datetime.datetime.fromisoformat(cursor) - datetime.timedelta(days=context["params"]["days"])
        return {"since": since.isoformat(timespec="milliseconds")}

    @task(execution_timeout=defaults.MOMENT)
    def arm() -> list[dict[str, Any]]:
        """Arms all faults or none."""
        context = get_current_context()
        params = context["params"]
        return game.arm(params["faults"], f"{params['expires_minutes']}m", settings.CONNECTION)

    @task(execution_timeout=defaults.MOMENT)
    def clear(armed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Clears what was armed; returns how often each has struck."""
        return game.clear(armed, settings.CONNECTION)

    @task
    def calm(poll: dict[str, Any]) -> dict[str, str]:
        """Returns where the window of the second poll ends."""
        try:
            return {"until": outcome.calm_until(poll)}
        except outcome.OutcomeError as wrong:
            raise AirflowFailException(str(wrong)) from wrong

    @task(execution_timeout=defaults.MOMENT)
    def verify(disturbed: dict[str, Any], calm: dict[str, Any], faults: list[dict[str, Any]]) -> str:
        """Holds the outcome against what the service promises."""
        context = get_current_context()
        try:
            for poll in (disturbed, calm):
                outcome.check_counts(poll)
            outcome.check_dead_letters(disturbed, context["params"]["max_dead_letter_share"])
            outcome.check_calm(disturbed, calm)
            struck = outcome.struck(faults)
        except outcome.OutcomeError as wrong:
            raise AirflowFailException(str(wrong)) from wrong
        # 503 as long as it is not; a stage that was struck may still be on its way back.
        service.ride_out(
            lambda: service.call("GET", "readyz", connection=settings.CONNECTION),
            reached_before=True,
        )
        return struck

    begin = window()
    armed = arm()
    submit = SubmitOperator(
        task_id="submit",
        endpoint="v1/polls",
        data="{\"since\": \"{{ ti.xcom_pull(task_ids='window')['since'] }}\"}",
        key="{{ dag.dag_id }}/{{ run_id }}/disturbed",
        execution_timeout=defaults.MOMENT,
    )
    wait = OutcomeSensor(
        task_id="wait",
        endpoint="v1/polls/{{ ti.xcom_pull(task_ids='submit')['id'] }}",
        timeout=defaults.wait_s(),
    )
    cleared = clear(armed)
    until = calm(wait.output)
    submit_again = SubmitOperator(
        task_id="submit_again",
        endpoint="v1/polls",
        data="{\"since\": \"{{ ti.xcom_pull(task_ids='window')['since'] }}\","
        " \"until\": \"{{ ti.xcom_pull(task_ids='calm')['until'] }}\"}",
        key="{{ dag.dag_id }}/{{ run_id }}/calm",
        execution_timeout=defaults.MOMENT,
    )
    wait_again = OutcomeSensor(
        task_id="wait_again",
        endpoint="v1/polls/{{ ti.xcom_pull(task_ids='submit_again')['id'] }}",
        timeout=defaults.wait_s(),
    )

    begin >> armed >> submit >> wait >> cleared.as_teardown(setups=armed)
    [cleared, until] >> submit_again >> wait_again
    verify(wait.output, wait_again.output, cleared)
