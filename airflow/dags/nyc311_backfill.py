"""### Poll a stretch of time again

Reads the history, or a part of it, in windows, while the hourly polls go on: they overtake.

* **By hand**: trigger it with `since` and `until`. The windows are dealt out to `parallel` lanes, each of
  which has one poll at a time at the service.
* **`airflow backfill create --dag-id nyc311_backfill --from-date ... --to-date ...`**: a run for each month,
  of that month. The DAG has to be unpaused for it; the run that its schedule makes each month skips its work.

Clear what failed to go on: windows that are in the tables are passed over, the one that failed resumes at its
cursor. To read windows anew that have succeeded, trigger a new run.
"""

from __future__ import annotations

import datetime

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from nyc311_airflow import defaults, outcome, service, settings, windows
from nyc311_airflow.assets import TABLES
from nyc311_airflow.operators import WindowsOperator

NEW_YORK = "America/New_York"

with DAG(
    dag_id="nyc311_backfill",
    description="Poll months of New York's 311 again, in windows",
    doc_md=__doc__,
    # What gives `airflow backfill` its months. A scheduled run, which there is once a month, skips its work.
    schedule=CronDataIntervalTimetable("0 0 1 * *", timezone=NEW_YORK),
    start_date=datetime.datetime(2010, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=2,
    default_args=defaults.ARGUMENTS,
    tags=["nyc311", "ingest", "backfill"],
    params={
        "on": Param(
            "created_date",
            type="string",
            enum=["created_date", "updated_at"],
            title="Column",
            description="created_date: when a request was made. updated_at: when the city last published it.",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First day",
            description="Midnight in New York. Needed for a run by hand; a run of airflow backfill has its month.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day behind the last",
            description="Exclusive. Needed for a run by hand.",
        ),
        "window": Param(
            "month",
            type="string",
            enum=list(windows.SIZES),
            title="Window",
            description="How much one poll reads. Months and years end with the calendar's.",
        ),
        "parallel": Param(
            2,
            type="integer",
            minimum=1,
            maximum=8,
            title="Lanes",
            description="How many polls of this run are at the service at once. It works on one at a time: with two,"
            " the next one is there already when one ends.",
        ),
        "max_dead_letter_share": defaults.max_dead_letter_share(),
    },
) as dag:

    @task(execution_timeout=defaults.MOMENT)
    def plan() -> list[list[dict[str, str]]]:
        """Cuts the stretch into windows for each lane; fails soon where the service cannot be asked."""
        context = get_current_context()
        params, run = context["params"], context["dag_run"]
        if run.run_type == "scheduled":
            raise AirflowSkipException(
                "nobody has asked for a backfill: trigger a run, or use airflow backfill"
            )
        service.ride_out(lambda: service.call("GET", "v1/polls?limit=1", connection=settings.CONNECTION))
        try:
            if run.run_type == "backfill":
                interval = (context["data_interval_start"], context["data_interval_end"])
                since, until = (time.in_timezone(NEW_YORK).date() for time in interval)
            elif params["since"] is None or params["until"] is None:
                raise windows.WindowError(
                    f"since is {params['since']} and until is {params['until']}: a run by hand needs both"
                )
            else:
                since, until = (windows.day(name, params[name]) for name in ("since", "until"))
            cut = windows.cut(since, until, params["window"])
        except windows.WindowError as wrong:
            raise AirflowFailException(str(wrong)) from wrong
        bodies = [
            {"on": params["on"], "since": start.isoformat(), "until": end.isoformat()} for start, end in cut
        ]
        return windows.deal(bodies, params["parallel"])

    lanes = WindowsOperator.partial(
        task_id="poll_windows",
        max_dead_letter_share="{{ params.max_dead_letter_share }}",
        timeout=defaults.wait_s(),
        map_index_template="{{ task.windows[0].since }} to {{ task.windows[-1].until }}, {{ task.windows | length }} windows",
        doc_md="Polls its windows one after the other, each under the key `dag_id/run_id/on/since/until`.",
    ).expand(windows=plan())

    @task(outlets=[TABLES])
    def verify(lanes: list[dict[str, int]]) -> dict[str, int]:
        """Adds the counts of all lanes up, and emits the asset with them."""
        total = outcome.add_counts(lanes)
        get_current_context()["outlet_events"][TABLES].extra = total
        return total

    verify(lanes.output)
