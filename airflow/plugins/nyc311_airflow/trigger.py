"""Waits for the end of a poll or of a reconciliation, in the triggerer: no worker is held meanwhile."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any

from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from nyc311_airflow import answers, service

ENDED = frozenset({"succeeded", "failed", "cancelled"})

LONGEST_PAUSE_S = 60.0


class OutcomeTrigger(BaseTrigger):
    """Asks for a document until its state is an end; yields one event, with it or with what is wrong.

    5xx, 429 and a service that does not answer are ridden out until the deadline, with growing pauses; any
    other 4xx ends the wait at once. Every field is serialized: another triggerer goes on where this one
    ended.

    :param connection: the id of the HTTP connection
    :param endpoint: the path of the document, as v1/polls/ID
    :param pause_s: how long to wait before asking again, in seconds; the answer's Retry-After may ask for
        longer
    :param deadline: when to give up, as ISO 8601 with an offset
    :param carried: what the task wants back with the event, to know where it was
    """

    def __init__(
        self,
        connection: str,
        endpoint: str,
        pause_s: float,
        deadline: str,
        carried: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.endpoint = endpoint
        self.pause_s = pause_s
        self.deadline = deadline
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "nyc311_airflow.trigger.OutcomeTrigger",
            {
                "connection": self.connection,
                "endpoint": self.endpoint,
                "pause_s": self.pause_s,
                "deadline": self.deadline,
                "carried": self.carried,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            outcome = await self._outcome()
        except AirflowFailException as refused:
            outcome = {"status": "refused", "message": str(refused)}
        yield TriggerEvent(outcome | {"carried": self.carried})

    async def _outcome(self) -> dict[str, Any]:
        try:
            known = await BaseHook.aget_connection(self.connection)
        except AirflowNotFoundException:
            raise answers.missing_connection(self.connection) from None
        pause = self.pause_s
        last = "nothing was heard of it"
        while True:
            try:
                # In a thread: the same hook, and so the same reading of the connection, as everywhere else.
                document = await asyncio.to_thread(
                    service.call, "GET", self.endpoint, connection=self.connection, known=known
                )
            except answers.Passing as passing:
                pause = min(pause * 2, LONGEST_PAUSE_S)
                rest = max(pause, passing.retry_after or 0.0)
                last = str(passing)
                self.log.warning("%s Asking again in %g s", passing, rest)
            else:
                if document.get("state") in ENDED:
                    return {"status": "ended", "document": document}
                rest = pause = self.pause_s
                now = progress(document)
                if now != last:
                    self.log.info("%s is %s", self.endpoint, now)
                last = now
            if datetime.datetime.now(datetime.UTC) >= datetime.datetime.fromisoformat(self.deadline):
                return {"status": "late", "message": last}
            await asyncio.sleep(rest)


def progress(document: dict[str, Any]) -> str:
    """Says how far a poll or a reconciliation is."""
    state = str(document.get("state"))
    counts = document.get("counts")
    if state == "queued":
        return f"queued, number {document['queue_position']}" if document.get("queue_position") else state
    return f"{state}, {counts['fetched']} rows fetched, {counts['stored']} stored" if counts else state
