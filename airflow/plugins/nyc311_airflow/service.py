"""Calls to the control API of nyc311, through an HTTP connection of Airflow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from nyc311_airflow import answers

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

# Of one request, in seconds: to connect, and to wait for the answer, which is no longer than a transaction
# takes.
TIMEOUTS_S = (5.0, 20.0)

# How long a task asks again where nothing answers. With the time-outs above a wrong address has failed within
# a minute, and a service that restarts is back.
PATIENCE_S = 30.0

LONGEST_PAUSE_S = 8.0


def options() -> dict[str, Any]:
    """Returns what requests are sent with; anew each time, since the hook takes entries out.

    A redirect is not followed: it would turn a POST into a GET.
    """
    return {"check_response": False, "timeout": TIMEOUTS_S, "allow_redirects": False}


class Hook(HttpHook):
    """The stock hook, with a connection that was looked up before, if there is one.

    The triggerer looks connections up asynchronously, and runs requests in threads, which cannot.
    """

    def __init__(self, method: str, connection: str, known: Connection | None = None) -> None:
        super().__init__(method=method, http_conn_id=connection)
        self._known = known

    def get_connection(self, conn_id: str) -> Connection:
        return self._known or super().get_connection(conn_id)


def read(response: requests.Response, connection: str) -> dict[str, Any]:
    """Returns the document of an answer; raises as `answers.read` does."""
    return answers.read(
        response.status_code,
        response.text,
        url=response.url,
        connection=connection,
        retry_after=response.headers.get("Retry-After"),
        location=response.headers.get("Location"),
    )


def translated(ask: Callable[[], Answer], connection: str) -> Answer:
    """Asks, and turns what the libraries raise into errors that say what to do."""
    try:
        return ask()
    except AirflowNotFoundException:
        raise answers.missing_connection(connection) from None
    except requests.exceptions.SSLError as error:
        raise AirflowFailException(
            f"the connection {connection} does not trust the service, or is not spoken to in TLS: {error}"
        ) from error
    except requests.exceptions.ReadTimeout as error:
        raise answers.Passing(f"no answer from {_url(error)} within {TIMEOUTS_S[1]:g} s") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise answers.unreachable(_url(error), connection, error) from error
    except (requests.exceptions.RequestException, ValueError) as error:
        raise AirflowFailException(
            f"the address of the connection {connection} cannot be used: {error}"
        ) from error


def call(
    method: str,
    endpoint: str,
    body: dict[str, Any] | None = None,
    *,
    connection: str,
    key: str | None = None,
    known: Connection | None = None,
) -> dict[str, Any]:
    """Sends one request and returns the document of its answer; `key` is the Idempotency-Key.

    Raises `answers.Passing` where asking again may help, else `AirflowFailException`.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key is not None:
        headers["Idempotency-Key"] = key
    hook = Hook(method, connection, known)
    data = json.dumps(body) if body is not None else None
    return translated(lambda: read(hook.run(endpoint, data, headers, options()), connection), connection)


def ride_out(ask: Callable[[], Answer], *, reached_before: bool = False) -> Answer:
    """Asks until there is an answer, for as long as the patience lasts; then raises what is worth a retry.

    An address where nothing answers fails the task at once, unless a task before it has reached it: then the
    service is away, and comes back.
    """
    deadline = time.monotonic() + PATIENCE_S
    pause = 1.0
    while True:
        try:
            return ask()
        except answers.Passing as passing:
            rest = max(pause, passing.retry_after or 0.0)
            if time.monotonic() + rest < deadline:
                log.warning("%s Asking again in %g s", passing, rest)
            elif isinstance(passing, answers.Unreachable) and not reached_before:
                raise AirflowFailException(f"{passing} Asked again for {PATIENCE_S:g} s.") from passing
            else:
                raise
        time.sleep(rest)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _url(error: requests.exceptions.RequestException) -> str:
    request = error.request
    return request.url if request is not None and request.url else "the service"
