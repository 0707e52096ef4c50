"""What the tasks of all DAGs have in common."""

from __future__ import annotations

import datetime
from typing import Any

from airflow.sdk import Param

from nyc311_airflow import settings

# A task that waits is bounded by its time-out; one that does not has done its work in a moment, or hangs.
MOMENT = datetime.timedelta(minutes=5)

ARGUMENTS: dict[str, Any] = {
    "owner": "nyc311",
    "retries": 4,
    "retry_delay": datetime.timedelta(seconds=15),
    "retry_exponential_backoff": True,
    "max_retry_delay": datetime.timedelta(minutes=5),
}


def wait_s() -> float:
    """How long a poll or a reconciliation is waited for, in seconds; the whole history takes a night."""
    return settings.number("WAIT_HOURS", 24, 0.01, 24 * 14) * 3600


def max_dead_letter_share() -> Param:
    return Param(
        settings.number("MAX_DEAD_LETTER_SHARE", 0.01, 0, 1),
        type="number",
        minimum=0,
        maximum=1,
        title="Allowed share of dead letters",
        description="The run fails where a larger share of the rows that arrived became dead letters.",
    )
