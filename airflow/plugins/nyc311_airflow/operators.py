"""The operators of the DAGs: one asks for work, one waits for it, one does both for many windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from nyc311_airflow import outcome, service, waiting
from nyc311_airflow.settings import CONNECTION
from nyc311_airflow.trigger import ENDED

# How often the end of something is asked for, in seconds.
PAUSE_S = 5.0


class SubmitOperator(HttpOperator):
    """Asks for a poll or a reconciliation, under a key; returns its document.

    The key is the run's, so that a cleared run, a retry and a request whose answer was lost all get the same
    one. Not deferrable: a triggerer that is replaced would ask again.
    """

    def __init__(self, *, endpoint: str, data: str = "{}", key: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("http_conn_id", CONNECTION)
        super().__init__(
            method="POST",
            endpoint=endpoint,
            data=data,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": key or "{{ dag.dag_id }}/{{ run_id }}",
            },
            extra_options=service.options(),
            response_filter=self._document,
            deferrable=False,
            **kwargs,
        )

    def _document(self, response: Any) -> dict[str, Any]:
        return service.read(response, self.http_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        ask = super().execute
        document = service.ride_out(lambda: service.translated(lambda: ask(context), self.http_conn_id))
        if "id" not in document or "state" not in document:
            raise AirflowFailException(
                f"{self.endpoint} answered with neither id nor state:"
                f" is the address of the connection {self.http_conn_id} that of the service?"
            )
        self.log.info(
            "%s/%s is %s, attempt %s",
            self.endpoint,
            document["id"],
            document["state"],
            document.get("attempt", 1),
        )
        return document


class OutcomeSensor(BaseSensorOperator):
    """Waits in the triggerer until a poll or a reconciliation has ended; returns its document.

    Fails without a retry where it failed or was cancelled, with its error as the message, and where the
    service refuses to answer. Rides out what passes until `timeout`, in seconds.

    :param endpoint: the path of the document, as v1/polls/ID (templated)
    """

    template_fields: Sequence[str] = ("endpoint",)

    def __init__(
        self, *, endpoint: str, http_conn_id: str = CONNECTION, poke_interval: float = PAUSE_S, **kwargs: Any
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.endpoint = endpoint
        self.http_conn_id = http_conn_id

    def execute(self, context: Context) -> None:
        self.defer(
            trigger=waiting.trigger(self.http_conn_id, self.endpoint, self.poke_interval, self.timeout),
            method_name="ended",
        )

    def ended(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        return waiting.succeeded(event, self.endpoint)


class WindowsOperator(BaseSensorOperator):
    """Polls windows one after the other, each as a backfill of its own; returns their counts, added up.

    A worker is held only for the moment between two windows. Each window has a key of its own, so a lane that
    is run again asks for the same polls: those that have succeeded are passed over, one that failed goes on.

    :param windows: bodies of POST /v1/polls, each with on, since and until (templated)
    :param key_prefix: what the keys begin with (templated)
    :param max_dead_letter_share: fails at a window of which a larger share became dead letters (templated)
    """

    template_fields: Sequence[str] = ("windows", "key_prefix", "max_dead_letter_share")

    def __init__(
        self,
        *,
        windows: list[dict[str, str]],
        max_dead_letter_share: float | str,
        key_prefix: str = "{{ dag.dag_id }}/{{ run_id }}",
        http_conn_id: str = CONNECTION,
        poke_interval: float = PAUSE_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.windows = windows
        self.max_dead_letter_share = max_dead_letter_share
        self.key_prefix = key_prefix
        self.http_conn_id = http_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        return self._go_on(0, {})

    def window_ended(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        index, what, counts = (event["carried"][name] for name in ("index", "what", "counts"))
        return self._go_on(index + 1, self._added(index, waiting.succeeded(event, what), counts))

    def _go_on(self, index: int, counts: dict[str, int]) -> dict[str, int]:
        for at in range(index, len(self.windows)):
            window = self.windows[at]
            key = f"{self.key_prefix}/{window['on']}/{window['since']}/{window['until']}"
            poll = service.ride_out(lambda body=window, key=key: self._submit(body, key), reached_before=True)
            endpoint = f"v1/polls/{poll['id']}"
            what = f"{endpoint}, window {at + 1} of {len(self.windows)} {json.dumps(window)},"
            self.log.info("%s is %s", what, poll["state"])
            if poll["state"] not in ENDED:
                carried = {"index": at, "what": what, "counts": counts}
                self.defer(
                    trigger=waiting.trigger(
                        self.http_conn_id, endpoint, self.poke_interval, self.timeout, carried
                    ),
                    method_name="window_ended",
                )
            counts = self._added(at, waiting.accepted(poll, what), counts)
        return counts

    def _submit(self, window: dict[str, str], key: str) -> dict[str, Any]:
        return service.call("POST", "v1/polls", window, connection=self.http_conn_id, key=key)

    def _added(self, index: int, poll: dict[str, Any], counts: dict[str, int]) -> dict[str, int]:
        """Adds a poll's counts, once they are found to be right."""
        try:
            outcome.check_counts(poll)
            outcome.check_dead_letters(poll, float(self.max_dead_letter_share))
        except outcome.OutcomeError as wrong:
            raise AirflowFailException(f"window {json.dumps(self.windows[index])}: {wrong}") from wrong
        self.log.info(
            "window %s of %s is in the tables: %s", index + 1, len(self.windows), json.dumps(poll["counts"])
        )
        return outcome.add_counts([counts, poll["counts"]])
