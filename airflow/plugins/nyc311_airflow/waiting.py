"""What a wait for a poll or a reconciliation begins with, and what its end means for the task."""

from __future__ import annotations

import datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from nyc311_airflow import outcome
from nyc311_airflow.trigger import OutcomeTrigger


def trigger(
    connection: str, endpoint: str, pause_s: float, timeout_s: float, carried: dict[str, Any] | None = None
) -> OutcomeTrigger:
    """Returns a trigger whose time-out counts from now on."""
    deadline = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=timeout_s)
    return OutcomeTrigger(connection, endpoint, pause_s, deadline.isoformat(), carried)


def succeeded(event: dict[str, Any], what: str) -> dict[str, Any]:
    """Returns the document of a success; raises what the task is to fail with for every other end."""
    if event["status"] == "refused":
        raise AirflowFailException(event["message"])
    if event["status"] == "late":
        raise AirflowSensorTimeout(
            f"{what} has not ended in time: {event['message']}. It is not cancelled; clear this task to go on waiting"
        )
    return accepted(event["document"], what)


def accepted(document: dict[str, Any], what: str) -> dict[str, Any]:
    """Returns a document that says succeeded; fails the task, without a retry, with the error of another."""
    if document["state"] == "succeeded":
        return document
    if document["state"] == "cancelled":
        raise AirflowFailException(
            f"{what} was cancelled at {document['finished_at']}; clear the task that asked for it to take it up again"
        )
    error = document["error"] or {}
    message = f"{what} failed in {error.get('stage')}, {error.get('code')}: {error.get('detail')}"
    months = outcome.differing_months(document) if "months" in document else []
    if months:
        message += f"; months that differ: {', '.join(months)}"
    if error.get("retryable"):
        message += (
            ". Asking again may help: clear the task that asked for it, and it goes on where it stopped"
        )
    raise AirflowFailException(message)
